//! One memory arena for all networks on the CPU, which grows by what is requested.
//!
//! By default each session has its own arena, which grows by powers of two: two full-width generators then take 450 MB
//! instead of 300.

use std::ffi::c_char;
use std::ptr;

use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::{AsPointer as _, ortsys};

/// Keys and values of OrtArenaCfg (onnxruntime_c_api.h, `CreateArenaCfgV2`): grow by what is requested.
const SAME_AS_REQUESTED: [(&std::ffi::CStr, usize); 1] = [(c"arena_extend_strategy", 1)];

/// Registers the arena with `environment`; sessions with environment allocators use it.
pub(super) fn share(environment: &Environment) -> ort::Result<()> {
    let memory = MemoryInfo::new(
        AllocationDevice::CPU,
        0,
        AllocatorType::Arena,
        MemoryType::Default,
    )?;
    let names = SAME_AS_REQUESTED.map(|(name, _)| name.as_ptr().cast::<c_char>());
    let values = SAME_AS_REQUESTED.map(|(_, value)| value);
    let mut config = ptr::null_mut();
    // SAFETY: both arrays have `names.len()` elements and, like `config`, live until the call returns.
    ortsys![unsafe CreateArenaCfgV2(names.as_ptr(), values.as_ptr(), names.len(), &raw mut config)?];
    // The pointer is const only in the crate's trait: ONNX Runtime guards its environment with a lock.
    let environment = environment.ptr().cast_mut();
    let registered = (|| {
        // SAFETY: all three live until the call returns, and it copies what it needs of them.
        ortsys![unsafe CreateAndRegisterAllocator(environment, memory.ptr(), config)?];
        Ok(())
    })();
    // SAFETY: `CreateArenaCfgV2` made it, and nothing uses it any more.
    ortsys![unsafe ReleaseArenaCfg(config)];
    registered
}
