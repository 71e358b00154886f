//! How a render shares the machine's cores: the one place where threads are counted out.

/// Threads for the networks of a render.
///
/// Networks that work side by side on frames of their own, one thread each, waste nothing on waiting for each other
/// inside every operator; more of them than [`MOST_GENERATORS`] would cost more memory than they bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Generators that work side by side.
    pub generators: usize,
    /// Threads inside each of them.
    pub threads_each: usize,
}

/// Each holds the network's weights and the activations of its batch.
const MOST_GENERATORS: usize = 8;

impl Budget {
    /// For `threads` CPU threads (1 or more). Networks on a GPU hardly need any: of two, one computes while the other's
    /// batch is put in and taken out.
    pub fn new(threads: usize, on_cpu: bool) -> Self {
        if !on_cpu {
            return Self {
                generators: 2,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_counted_twice() {
        for threads in 1..=64 {
            let budget = Budget::new(threads, true);
            let used = budget.generators * budget.threads_each;
            assert!((threads.div_ceil(2)..=threads).contains(&used), "{threads}");
        }
    }
}
