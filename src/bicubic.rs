//! The contract's resize: bicubic with a = -0.75, half-pixel centres, no antialiasing, edges replicated
//! (what OpenCV calls `INTER_CUBIC`).

use rayon::prelude::*;

/// Values of a pixel.
const CHANNELS: usize = 3;
/// Source pixels under the kernel, in each direction.
const TAPS: usize = 4;

/// The source pixels and weights of one target row or column.
#[derive(Debug, Clone, Copy)]
struct Tap {
    at: [usize; TAPS],
    weight: [f32; TAPS],
}

/// A resize between two fixed sizes, planned once.
#[derive(Debug, Clone)]
pub struct Bicubic {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    from: (usize, usize),
}

/// A view of interleaved pixels inside a larger picture.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Pixels from the view's first one on.
    pub pixels: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Bicubic {
    /// Plans from `(width, height)` to `(width, height)`, all at least 1.
    pub fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        Self {
            columns: taps(from.0, to.0),
            rows: taps(from.1, to.1),
            from,
        }
    }

    /// Whether the plan leads from `from` to `to`.
    pub fn fits(&self, from: (usize, usize), to: (usize, usize)) -> bool {
        self.from == from && (self.columns.len(), self.rows.len()) == to
    }

    /// Resizes three interleaved 8-bit channels, rows in parallel; `target` rows are `stride` bytes apart.
    pub fn resize(&self, source: View<'_>, target: &mut [u8], stride: usize) {
        let wide = self.from.0 * CHANNELS;
        target
            .par_chunks_mut(stride)
            .take(self.rows.len())
            .zip(&self.rows)
            .with_min_len(16)
            .for_each_init(
                || vec![0.0_f32; wide],
                |blend, (target, row)| {
                    let line = |k: usize| &source.pixels[row.at[k] * source.stride..][..wide];
                    let lines = [line(0), line(1), line(2), line(3)];
                    for (i, out) in blend.iter_mut().enumerate() {
                        *out = (0..TAPS)
                            .map(|k| f32::from(lines[k][i]) * row.weight[k])
                            .sum();
                    }
                    for (pixel, column) in target.chunks_exact_mut(CHANNELS).zip(&self.columns) {
                        for (channel, value) in pixel.iter_mut().enumerate() {
                            let sum: f32 = (0..TAPS)
                                .map(|k| {
                                    blend[column.at[k] * CHANNELS + channel] * column.weight[k]
                                })
                                .sum();
                            // A float to u8 cast saturates; OpenCV rounds to the nearest.
                            *value = (sum + 0.5) as u8;
                        }
                    }
                },
            );
    }
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale - 0.5;
            let first = centre.floor();
            let weight = kernel((centre - first) as f32);
            let at = std::array::from_fn(|k| {
                (first as i64 - 1 + k as i64).clamp(0, from as i64 - 1) as usize
            });
            Tap { at, weight }
        })
        .collect()
}

/// Keys' cubic with a = -0.75 at distances 1 + x, x, 1 - x, 2 - x; the last weight closes the sum to 1, as in OpenCV.
fn kernel(x: f32) -> [f32; TAPS] {
    const A: f32 = -0.75;
    let outer = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let inner = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let (a, b, c) = (outer(x + 1.0), inner(x), inner(1.0 - x));
    [a, b, c, 1.0 - a - b - c]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resize(pixels: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let mut out = vec![0; to.0 * to.1 * 3];
        let view = View {
            pixels,
            stride: from.0 * 3,
        };
        Bicubic::new(from, to).resize(view, &mut out, to.0 * 3);
        out
    }

    proptest! {
        /// The same size copies every byte.
        #[test]
        fn same_size_is_the_identity(w in 1_usize..40, h in 1_usize..40, seed in any::<u8>()) {
            let pixels: Vec<u8> = (0..w * h * 3).map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed)).collect();
            prop_assert_eq!(resize(&pixels, (w, h), (w, h)), pixels);
        }

        /// A flat picture stays flat at any size.
        #[test]
        fn flat_stays_flat(w in 1_usize..40, h in 1_usize..40, tw in 1_usize..40, th in 1_usize..40, v in any::<u8>()) {
            prop_assert!(resize(&vec![v; w * h * 3], (w, h), (tw, th)).iter().all(|&p| p == v));
        }
    }
}
