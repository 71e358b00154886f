//! Networks that several renders use in turns: while one of them starts or ends, the others keep the networks busy.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::{AudioEncoder, Face, Generator};

/// Generators of one network, lent for a batch at a time.
pub(crate) struct SharedGenerators<G> {
    free: Mutex<Vec<G>>,
    returned: Condvar,
    count: usize,
}

impl<G> SharedGenerators<G> {
    /// Lends `generators`.
    pub(crate) fn new(generators: Vec<G>) -> Self {
        Self {
            count: generators.len(),
            free: Mutex::new(generators),
            returned: Condvar::new(),
        }
    }

    /// As many borrowers as there are generators: with them, a render can use all of these at once.
    pub(crate) fn borrowers(&self) -> Vec<SharedGenerator<'_, G>> {
        (0..self.count).map(|_| SharedGenerator(self)).collect()
    }

    /// A generator, once there is a free one.
    fn take(&self) -> GeneratorGuard<'_, G> {
        let free = self.free();
        let waited = self.returned.wait_while(free, |free| free.is_empty());
        let mut free = waited.unwrap_or_else(PoisonError::into_inner);
        GeneratorGuard {
            generator: free.pop(),
            home: self,
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<G>> {
        // Pushing and popping cannot tear it.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A generator that goes back even if it panics.
struct GeneratorGuard<'a, G> {
    generator: Option<G>,
    home: &'a SharedGenerators<G>,
}

impl<G> Drop for GeneratorGuard<'_, G> {
    fn drop(&mut self) {
        self.home.free().extend(self.generator.take());
        self.home.returned.notify_one();
    }
}

/// Paints with whichever generator is free.
pub(crate) struct SharedGenerator<'a, G>(&'a SharedGenerators<G>);

impl<G: Generator> Generator for SharedGenerator<'_, G> {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        let mut loan = self.0.take();
        let generator = loan.generator.as_mut();
        generator.map_or(Ok(()), |generator| generator.generate(faces, audio, output))
    }
}

/// An audio encoder that takes one request after the other.
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
    fn no_generator_is_lent_twice_and_one_that_panics_comes_back() {
        let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let generator = |_| CopyGenerator {
            on_batch: |batch| {
                let now = working.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                thread::yield_now();
                working.fetch_sub(1, Ordering::SeqCst);
                assert!(batch != 7, "for a test");
                Ok(())
            },
            batches: 0,
        };
        let lender = SharedGenerators::new((0..2).map(generator).collect());
        thread::scope(|scope| {
            for mut borrower in lender.borrowers().into_iter().chain(lender.borrowers()) {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let paint = || borrower.generate(&[], &[], &mut []);
                        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(paint));
                    }
                });
            }
        });
        assert_eq!(lender.free().len(), 2);
        assert!(most.load(Ordering::SeqCst) <= 2);
    }
}
