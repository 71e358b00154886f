//! Shares out cores between networks, and returns freed memory to the system.

use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::{Fault, no_thread};

/// Threads for the networks of a render.
///
/// Single-threaded generators that work side by side on different frames are faster than one with many threads, which
/// wait for each other in every operator. More than eight would cost more memory than they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadBudget {
    /// Generators that work side by side.
    pub generators: usize,
    /// Threads inside each of them.
    pub threads_each: usize,
}

/// Each generator holds the activations of its batch.
const MAX_GENERATORS: usize = 8;

impl ThreadBudget {
    /// For `threads` CPU threads (1 or more), or for `gpus` GPUs, whose networks hardly need any.
    pub(crate) fn new(threads: usize, gpus: usize) -> Self {
        if gpus > 0 {
            return Self {
                generators: GENERATORS_PER_GPU * gpus,
                threads_each: 1,
            };
        }
        let generators = threads.min(MAX_GENERATORS);
        Self {
            generators,
            threads_each: threads / generators,
        }
    }
}

/// One of them computes while the other's batch is copied.
pub(crate) const GENERATORS_PER_GPU: usize = 2;

/// Starts a thread of `scope`; fails where the system allows no more.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Fault> {
    let started = thread::Builder::new().spawn_scoped(scope, work);
    started.map_err(|e| no_thread(&e))
}

/// Returns freed memory to the system: glibc keeps it per thread, where the threads of the next clip could not use it.
/// Takes a few milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "there is no other way to make glibc return freed memory"
)]
pub(crate) fn release_memory() {
    // SAFETY: it takes no pointer, locks the heap's own structures, and touches only free memory.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries do it themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn release_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_share_the_threads() {
        for threads in 1..=64 {
            let budget = ThreadBudget::new(threads, 0);
            let used = budget.generators * budget.threads_each;
            assert!((threads.div_ceil(2)..=threads).contains(&used), "{threads}");
        }
        assert_eq!(ThreadBudget::new(16, 1).generators, 2);
        assert_eq!(ThreadBudget::new(16, 4).generators, 8);
    }
}
