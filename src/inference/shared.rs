//! Networks that several renders use in turn: while one render starts or ends, the others keep the networks busy.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::generator::{Face, Generator};
use crate::audio::AudioEncoder;

/// A pool of generators, each used for one batch at a time.
pub(crate) struct SharedGenerators<G> {
    free: Mutex<Vec<G>>,
    returned: Condvar,
    count: usize,
}

impl<G> SharedGenerators<G> {
    /// A pool of `generators`.
    pub(crate) fn new(generators: Vec<G>) -> Self {
        Self {
            count: generators.len(),
            free: Mutex::new(generators),
            returned: Condvar::new(),
        }
    }

    /// As many handles as there are generators, so that one render can use all of them at once.
    pub(crate) fn borrowers(&self) -> Vec<SharedGenerator<'_, G>> {
        (0..self.count).map(|_| SharedGenerator(self)).collect()
    }

    /// Waits for a free generator.
    fn take(&self) -> GeneratorGuard<'_, G> {
        let free = self.free();
        let waited = self.returned.wait_while(free, |free| free.is_empty());
        let mut free = waited.unwrap_or_else(PoisonError::into_inner);
        GeneratorGuard {
            generator: free.pop(),
            pool: self,
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<G>> {
        // A panic cannot leave the list half changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the generator to the pool when dropped, even after a panic.
struct GeneratorGuard<'a, G> {
    generator: Option<G>,
    pool: &'a SharedGenerators<G>,
}

impl<G> Drop for GeneratorGuard<'_, G> {
    fn drop(&mut self) {
        self.pool.free().extend(self.generator.take());
        self.pool.returned.notify_one();
    }
}

/// A generator that runs each batch on a free generator of the pool.
pub(crate) struct SharedGenerator<'a, G>(&'a SharedGenerators<G>);

impl<G: Generator> Generator for SharedGenerator<'_, G> {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        let mut guard = self.0.take();
        let generator = guard.generator.as_mut();
        generator.map_or(Ok(()), |generator| generator.generate(faces, audio, output))
    }
}

/// A handle on a shared audio encoder, which runs one request at a time.
pub(crate) struct SharedEncoder<'a, E>(pub &'a Mutex<E>);

impl<E: AudioEncoder> AudioEncoder for SharedEncoder<'_, E> {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        let mut encoder = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.encode(count, blocks, embeddings)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::inference::stub::CopyGenerator;

    #[test]
    fn a_generator_runs_one_batch_at_a_time_and_survives_a_panic() {
        let (running, max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let generator = |_| CopyGenerator {
            on_batch: |batch| {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                max.fetch_max(now, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(batch != 7, "for a test");
                Ok(())
            },
            batches: 0,
        };
        let pool = SharedGenerators::new((0..2).map(generator).collect());
        thread::scope(|scope| {
            for mut handle in pool.borrowers().into_iter().chain(pool.borrowers()) {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let paint = || handle.generate(&[], &[], &mut []);
                        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(paint));
                    }
                });
            }
        });
        assert_eq!(pool.free().len(), 2);
        let max = max.load(Ordering::SeqCst);
        assert!((1..=2).contains(&max), "{max}");
    }
}
