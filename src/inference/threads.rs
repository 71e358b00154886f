//! How networks share the machine's cores, and give memory back.

/// Threads for the networks of a render.
///
/// Networks that work side by side on frames of their own, one thread each, waste nothing on waiting for each other
/// inside every operator; more than eight of them would cost more memory than they bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadBudget {
    /// Generators that work side by side.
    pub generators: usize,
    /// Threads inside each of them.
    pub threads_each: usize,
}

/// Each holds the network's weights and the activations of its batch.
const MOST_GENERATORS: usize = 8;

impl ThreadBudget {
    /// For `threads` CPU threads (1 or more), or for so many GPUs, on which networks hardly need any.
    pub(crate) fn new(threads: usize, gpus: usize) -> Self {
        if gpus > 0 {
            return Self {
                generators: GENERATORS_A_GPU * gpus,
                threads_each: 1,
            };
        }
        let generators = threads.min(MOST_GENERATORS);
        Self {
            generators,
            threads_each: threads / generators,
        }
    }
}

/// Of two on a GPU, one computes while the other's batch is put in and taken out.
pub(crate) const GENERATORS_A_GPU: usize = 2;

/// Gives memory that was freed back to the system: what one clip leaves in the stocks of its threads would be lost to the
/// next one. Costs a few milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "the C library keeps freed memory until it is told not to"
)]
pub(crate) fn give_memory_back() {
    // SAFETY: it takes a number, locks what it looks at, and touches only memory that is free.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_counted_twice() {
        for threads in 1..=64 {
            let budget = ThreadBudget::new(threads, 0);
            let used = budget.generators * budget.threads_each;
            assert!((threads.div_ceil(2)..=threads).contains(&used), "{threads}");
        }
        assert_eq!(ThreadBudget::new(16, 1).generators, 2);
        assert_eq!(ThreadBudget::new(16, 4).generators, 8);
    }
}
