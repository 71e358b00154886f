//! How much of the machine the networks may use.

use std::num::NonZeroUsize;
use std::thread;

use super::request::Request;
use super::setting::Decisions;
use crate::inference::onnx::{Device, Hardware};

/// Where the networks run, and with how many threads.
pub(super) fn hardware(request: &mut Request, decisions: &mut Decisions) -> Hardware {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Hardware {
        device: decisions.choose("device", request.device.take(), Device::Auto),
        gpu: decisions.choose("gpu", request.gpu.take(), 0),
        gpu_bytes: request.gpu_gb.take().map(|gb| {
            let gb = decisions.note("gpu memory", gb, |gb| format!("{gb} GB"));
            (gb * 1e9) as usize
        }),
        threads: decisions
            .choose("threads", request.threads.take(), cores)
            .get(),
        deterministic: decisions.choose("deterministic", request.deterministic.take(), false),
    }
}

/// The memory limit in bytes, if there is one.
pub(super) fn memory_limit(request: &mut Request, decisions: &mut Decisions) -> Option<usize> {
    let limit = request.memory_limit.take()?;
    let limit = decisions.note("memory-limit", limit, |gb| format!("{gb} GB"));
    Some((limit * 1e9) as usize)
}
