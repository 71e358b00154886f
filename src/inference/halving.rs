//! Halves the batch where memory runs out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::generator::{Face, Generator};
use crate::audio::window::WINDOW_LEN;
use crate::error::NotFinite;
use crate::face::OUTPUT_LEN;

/// Memory ran out; holds the message of whatever ran out of it. As the cause of an error, it makes [`BatchHalving`] retry.
#[derive(Debug)]
pub(crate) struct OutOfMemory(pub String);

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfMemory {}

/// Whether an error says that memory ran out.
pub(crate) fn is_out_of_memory(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(<dyn std::error::Error>::is::<OutOfMemory>)
}

/// The largest batch that memory is known to suffice for. Clones share the number.
#[derive(Debug, Clone)]
pub struct BatchLimit(Arc<AtomicUsize>);

impl Default for BatchLimit {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }
}

impl BatchLimit {
    /// The number; none as long as memory suffices.
    pub fn get(&self) -> Option<usize> {
        Some(self.load()).filter(|&limit| limit < usize::MAX)
    }

    fn load(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn lower(&self, limit: usize) {
        self.0.fetch_min(limit, Ordering::Relaxed);
    }
}

/// A generator that halves its batch whenever memory runs out, down to single frames, and stays at that batch.
pub struct BatchHalving<G> {
    generator: G,
    limit: BatchLimit,
}

impl<G> BatchHalving<G> {
    /// `generator` within `limit`, which generators that work side by side share.
    pub fn new(generator: G, limit: BatchLimit) -> Self {
        Self { generator, limit }
    }
}

impl<G: Generator> Generator for BatchHalving<G> {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        let mut start = 0;
        while start < faces.len() {
            let end = faces.len().min(start.saturating_add(self.limit.load()));
            let generated = self.generator.generate(
                &faces[start..end],
                &audio[start * WINDOW_LEN..end * WINDOW_LEN],
                &mut output[start * OUTPUT_LEN..end * OUTPUT_LEN],
            );
            match generated {
                Ok(()) => start = end,
                Err(error) if end - start > 1 && is_out_of_memory(&error) => {
                    self.limit.lower((end - start).div_ceil(2));
                }
                Err(mut error) => {
                    if let Some(found) = error.downcast_mut::<NotFinite>() {
                        found.item += start;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorReport, Exit, Fault};
    use crate::face::CROP;
    use crate::image::Picture;

    /// Fills each picture with the first value of its audio window; fails for batches larger than `memory`.
    struct LimitedMemory {
        memory: usize,
        batches: Vec<usize>,
    }

    impl Generator for LimitedMemory {
        fn generate(
            &mut self,
            faces: &[Face<'_>],
            audio: &[f32],
            output: &mut [f32],
        ) -> Result<()> {
            self.batches.push(faces.len());
            if faces.len() > self.memory {
                let message = "Available memory of 0 is smaller than requested bytes of 4096";
                return Err(Fault::machine("network `generator.onnx` failed")
                    .because(OutOfMemory(message.into()))
                    .into());
            }
            for (window, picture) in audio.chunks(WINDOW_LEN).zip(output.chunks_mut(OUTPUT_LEN)) {
                picture.fill(window[0]);
            }
            Ok(())
        }
    }

    fn paint(generator: &mut BatchHalving<LimitedMemory>, count: usize) -> Result<Vec<f32>> {
        let crop = Picture::new(CROP, CROP);
        let face = Face { crop: &crop };
        let audio: Vec<f32> = (0..count * WINDOW_LEN)
            .map(|at| (at / WINDOW_LEN) as f32)
            .collect();
        let mut output = vec![-1.0; count * OUTPUT_LEN];
        generator.generate(&vec![face; count], &audio, &mut output)?;
        let pictures = output.chunks(OUTPUT_LEN);
        Ok(pictures
            .map(|picture| {
                assert!(picture.iter().all(|value| *value == picture[0]));
                picture[0]
            })
            .collect())
    }

    fn halving(memory: usize, limit: &BatchLimit) -> BatchHalving<LimitedMemory> {
        let generator = LimitedMemory {
            memory,
            batches: Vec::new(),
        };
        BatchHalving::new(generator, limit.clone())
    }

    #[test]
    fn the_same_frames_come_out_of_smaller_batches() {
        let limit = BatchLimit::default();
        let mut first = halving(5, &limit);
        let expected: Vec<f32> = (0..16_u8).map(f32::from).collect();
        assert_eq!(paint(&mut first, 16).unwrap(), expected);
        assert_eq!(first.generator.batches, [16, 8, 4, 4, 4, 4]);
        assert_eq!(limit.get(), Some(4));
        // The second one knows the limit that the first one found.
        let mut second = halving(5, &limit);
        assert_eq!(paint(&mut second, 6).unwrap(), &expected[..6]);
        assert_eq!(second.generator.batches, [4, 2]);
    }

    #[test]
    fn batches_stay_whole_while_memory_suffices() {
        let limit = BatchLimit::default();
        let mut generator = halving(16, &limit);
        paint(&mut generator, 16).unwrap();
        assert_eq!(generator.generator.batches, [16]);
        assert_eq!(limit.get(), None);
    }

    #[test]
    fn memory_for_not_even_one_frame_is_an_error() {
        let mut generator = halving(0, &BatchLimit::default());
        let error = paint(&mut generator, 3).unwrap_err();
        assert_eq!(ErrorReport::of(&error).exit, Exit::Machine);
        assert_eq!(generator.generator.batches, [3, 2, 1]);
    }

    #[test]
    fn other_errors_are_not_retried() {
        struct Broken(usize);
        impl Generator for Broken {
            fn generate(&mut self, _: &[Face<'_>], _: &[f32], _: &mut [f32]) -> Result<()> {
                self.0 += 1;
                Err(Fault::machine("broken").because("out of luck").into())
            }
        }
        let crop = Picture::new(CROP, CROP);
        let face = Face { crop: &crop };
        let mut generator = BatchHalving::new(Broken(0), BatchLimit::default());
        let (audio, mut output) = (vec![0.0; 2 * WINDOW_LEN], vec![0.0; 2 * OUTPUT_LEN]);
        assert!(generator.generate(&[face; 2], &audio, &mut output).is_err());
        assert_eq!(generator.generator.0, 1);
    }
}
