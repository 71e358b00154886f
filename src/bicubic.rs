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

/// A view of interleaved pixels inside a larger picture, 8-bit or float.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T = u8> {
    /// Values from the view's first one on.
    pub pixels: &'a [T],
    /// Values from one row to the next.
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
        target
            .par_chunks_mut(stride)
            .take(self.rows.len())
            .enumerate()
            .with_min_len(16)
            .for_each_init(Line::default, |line, (y, target)| {
                let values = self.row(source, y, line);
                for (target, value) in target.iter_mut().zip(values) {
                    // A float to u8 cast saturates; OpenCV rounds to the nearest.
                    *target = (value + 0.5) as u8;
                }
            });
    }

    /// Row `y` of the result, three interleaved channels, before it is rounded.
    pub fn row<'l, T: Copy + Into<f32>>(
        &self,
        source: View<'_, T>,
        y: usize,
        line: &'l mut Line,
    ) -> &'l [f32] {
        let wide = self.from.0 * CHANNELS;
        line.blend.resize(wide, 0.0);
        line.values.resize(self.columns.len() * CHANNELS, 0.0);
        let row = &self.rows[y];
        let above = |k: usize| &source.pixels[row.at[k] * source.stride..][..wide];
        let lines = [above(0), above(1), above(2), above(3)];
        for (i, out) in line.blend.iter_mut().enumerate() {
            *out = (0..TAPS).map(|k| lines[k][i].into() * row.weight[k]).sum();
        }
        let pixels = line.values.chunks_exact_mut(CHANNELS);
        for (pixel, column) in pixels.zip(&self.columns) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = (0..TAPS)
                    .map(|k| line.blend[column.at[k] * CHANNELS + channel] * column.weight[k])
                    .sum();
            }
        }
        &line.values
    }
}

/// Memory for one row at a time, which stays from row to row.
#[derive(Debug, Default)]
pub struct Line {
    /// The source rows under the kernel, blended.
    blend: Vec<f32>,
    values: Vec<f32>,
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
