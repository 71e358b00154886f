//! FFmpeg's libraries, loaded at the first call instead of at program start. For x86-64 Linux only, and optional.
//!
//! Why: Debian's FFmpeg consists of 136 libraries. Linked the normal way, they are loaded by every command, `--help`
//! included: 37 ms of CPU time instead of 2 ms (FFmpeg 5.1). And without them the program would not start at all, so that
//! neither `render` nor `doctor` could say what to install.
//!
//! How: `build.rs` lists the functions that the libraries export. For each, this module defines a function of the same name
//! that jumps through a slot of [`SLOTS`]; the linker finds these first and needs the libraries no more. A slot first leads
//! to `ffmpeg_first`, which looks the real function up and stores it in the slot, so later calls cost one jump. The names
//! are hidden: FFmpeg's libraries do not see them.
//!
//! Where this does not apply, `build.rs` lists nothing, `ffmpeg_on_demand` is not set, and the program is linked to FFmpeg
//! as usual: on other systems and processors, where there is no shared FFmpeg to build with, and where
//! `LIPSYNC_LINK_FFMPEG` is set during the build. Nothing outside this folder depends on it but
//! [`init`](super::init), which calls [`load`]. With a static FFmpeg there is nothing left to load: the folder, its `build`
//! line in Cargo.toml and the build dependencies can then be removed.

#![expect(
    unsafe_code,
    reason = "safe Rust cannot define functions that jump to others found at run time"
)]

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library as Loaded, RTLD_LAZY, RTLD_LOCAL};

use crate::error::Fault;

struct Library {
    soname: &'static str,
    /// The functions that it exports, in the order of the slots.
    functions: &'static [&'static CStr],
}

// build.rs writes these and `ffmpeg_jumps.s`.
const LIBRARIES: &[Library] = &include!(concat!(env!("OUT_DIR"), "/ffmpeg_libraries.rs"));
const COUNT: usize = include!(concat!(env!("OUT_DIR"), "/ffmpeg_count.rs"));

static SLOTS: [AtomicPtr<c_void>; COUNT] =
    [const { AtomicPtr::new(ffmpeg_first as *mut c_void) }; COUNT];

// SAFETY: defined below. Rust only takes its address.
unsafe extern "C" {
    fn ffmpeg_first();
}

// SAFETY: r10 and r11 are free between a caller and the function it calls (System V ABI for x86-64, 3.2.1). Arguments are in
// rdi, rsi, rdx, rcx, r8, r9, xmm0 to xmm7 and on the stack, the number of vector arguments in al; `ffmpeg_first` saves the
// registers, restores them after its call, and leaves the stack as it was.
std::arch::global_asm!(
    ".macro ffmpeg_jump name, slot",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name, @function",
    "\\name: mov r11d, \\slot",
    "jmp qword ptr [rip + {slots} + 8 * \\slot]",
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.ffmpeg_on_demand, \"ax\", @progbits",
    include_str!(concat!(env!("OUT_DIR"), "/ffmpeg_jumps.s")),
    ".globl ffmpeg_first",
    ".hidden ffmpeg_first",
    ".type ffmpeg_first, @function",
    "ffmpeg_first:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push r8",
    "push r9",
    "push rax",
    "push r11",
    "sub rsp, 128",
    "movups [rsp], xmm0",
    "movups [rsp + 16], xmm1",
    "movups [rsp + 32], xmm2",
    "movups [rsp + 48], xmm3",
    "movups [rsp + 64], xmm4",
    "movups [rsp + 80], xmm5",
    "movups [rsp + 96], xmm6",
    "movups [rsp + 112], xmm7",
    "mov rdi, r11",
    "call {first}",
    "mov r10, rax",
    "movups xmm0, [rsp]",
    "movups xmm1, [rsp + 16]",
    "movups xmm2, [rsp + 32]",
    "movups xmm3, [rsp + 48]",
    "movups xmm4, [rsp + 64]",
    "movups xmm5, [rsp + 80]",
    "movups xmm6, [rsp + 96]",
    "movups xmm7, [rsp + 112]",
    "add rsp, 128",
    "pop r11",
    "pop rax",
    "pop r9",
    "pop r8",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "jmp r10",
    ".cfi_endproc",
    ".size ffmpeg_first, . - ffmpeg_first",
    ".popsection",
    slots = sym SLOTS,
    first = sym look_up,
);

/// Finds the function of `slot`, which is called for the first time.
#[expect(
    clippy::panic,
    reason = "the caller expects an FFmpeg function: `load`, which runs before, returns the error"
)]
extern "C" fn look_up(slot: usize) -> *mut c_void {
    let loaded = libraries().as_deref().unwrap_or_default();
    let mut functions = LIBRARIES.iter().zip(loaded).flat_map(|(library, loaded)| {
        let names = library.functions.iter();
        names.map(move |name| (*name, loaded))
    });
    let found = functions.nth(slot).map(|(name, loaded)| {
        // SAFETY: only the address is taken; callers have the type from FFmpeg's headers.
        unsafe { loaded.get::<*mut c_void>(name) }
    });
    let Some(Ok(symbol)) = found else {
        panic!("FFmpeg was called before it was loaded ({slot}, {found:?})");
    };
    let function = symbol.as_raw_ptr();
    SLOTS[slot].store(function, Ordering::Relaxed);
    function
}

/// Loads the libraries. The error names the one that failed, and how to install them.
pub(super) fn load() -> Result<(), Fault> {
    libraries().as_ref().map(|_| ()).map_err(|reason| {
        // Debian calls the package of `libavutil.so.57` `libavutil57`.
        let packages = LIBRARIES.iter().map(|l| l.soname.replace(".so.", ""));
        let packages: Vec<String> = packages.collect();
        Fault::machine("cannot load FFmpeg's libraries")
            .because(reason.as_str())
            .hint(format!(
                "apt-get install {}; if your system has no such packages, rebuild lipsync with the FFmpeg it has",
                packages.join(" ")
            ))
    })
}

/// The libraries, loaded once and never unloaded.
fn libraries() -> &'static Result<Vec<Loaded>, String> {
    static LOADED: OnceLock<Result<Vec<Loaded>, String>> = OnceLock::new();
    LOADED.get_or_init(|| {
        LIBRARIES
            .iter()
            .map(|library| open(library.soname))
            .collect()
    })
}

fn open(soname: &str) -> Result<Loaded, String> {
    // SAFETY: loading runs the library's initialisers, the same that would run at program start if it were linked.
    unsafe { Loaded::open(Some(soname), RTLD_LAZY | RTLD_LOCAL) }.map_err(|error| {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        reason.unwrap_or_else(|| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::c_char;

    use ffmpeg_next::ffi::{av_asprintf, av_free};

    use super::*;

    #[test]
    fn a_first_call_passes_on_all_arguments() {
        let mut names = LIBRARIES.iter().flat_map(|library| library.functions);
        let slot = names.position(|name| *name == c"av_asprintf").unwrap();
        let text = || {
            // SAFETY: numbers and types match the format; the text is copied before it is freed.
            unsafe {
                let format = c"%d %d %d %d %d %d %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f";
                let text: *mut c_char = av_asprintf(
                    format.as_ptr(),
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                    0.1,
                    0.2,
                    0.3,
                    0.4,
                    0.5,
                    0.6,
                    0.7,
                    0.8,
                    0.9,
                );
                let copy = CStr::from_ptr(text).to_str().unwrap().to_owned();
                av_free(text.cast());
                copy
            }
        };
        let expected = "1 2 3 4 5 6 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9";
        // As if it had never been called.
        SLOTS[slot].store(ffmpeg_first as *mut c_void, Ordering::Relaxed);
        assert_eq!(text(), expected);
        assert_ne!(
            SLOTS[slot].load(Ordering::Relaxed),
            ffmpeg_first as *mut c_void
        );
        assert_eq!(text(), expected);
    }

    #[test]
    fn every_function_is_found() {
        load().unwrap();
        assert!((0..COUNT).all(|slot| !look_up(slot).is_null()));
    }
}
