//! The resize that the contract defines: bicubic with a = -0.75, half-pixel centres, no antialiasing, replicated edges
//! (OpenCV's `INTER_CUBIC`).

use rayon::prelude::*;

use crate::image::pool::Pool;

/// Values per pixel.
const CHANNELS: usize = 3;
/// Source pixels of the kernel, in each direction.
const TAPS: usize = 4;
/// Pixels by which the kernel extends beyond the edges of the source.
const EDGE: usize = 2;
/// Fewest target rows per parallel task.
const MIN_ROWS_PER_TASK: usize = 16;

/// The source rows and weights of one target row.
#[derive(Debug, Clone, Copy)]
struct RowTaps {
    at: [usize; TAPS],
    weight: [f32; TAPS],
}

/// Where the source pixels of one target column start in the blended row, and their weights.
#[derive(Debug, Clone, Copy)]
struct ColumnTaps {
    at: usize,
    weight: [f32; TAPS],
}

/// A resize between two fixed sizes, planned once.
#[derive(Debug)]
pub(crate) struct Bicubic {
    columns: Vec<ColumnTaps>,
    rows: Vec<RowTaps>,
    from: (usize, usize),
    buffers: Pool<RowBuffer>,
}

/// A view of interleaved pixels inside a larger picture, 8-bit or float.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelView<'a, T = u8> {
    /// Values from the first one in the view on.
    pub pixels: &'a [T],
    /// Values from one row to the next.
    pub stride: usize,
}

impl Bicubic {
    /// Plans a resize from `(width, height)` to `(width, height)`, all at least 1.
    pub(crate) fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let columns = (0..to.0).map(|x| {
            let (first, weight) = taps_at(x, from.0, to.0);
            let at = (first + EDGE as i64) as usize * CHANNELS;
            ColumnTaps { at, weight }
        });
        let rows = (0..to.1).map(|y| {
            let (first, weight) = taps_at(y, from.1, to.1);
            let last = from.1 as i64 - 1;
            let at = std::array::from_fn(|k| (first + k as i64).clamp(0, last) as usize);
            RowTaps { at, weight }
        });
        Self {
            columns: columns.collect(),
            rows: rows.collect(),
            from,
            buffers: Pool::default(),
        }
    }

    /// Whether the plan is for these sizes.
    pub(crate) fn is_for(&self, from: (usize, usize), to: (usize, usize)) -> bool {
        self.from == from && (self.columns.len(), self.rows.len()) == to
    }

    /// Resizes three interleaved 8-bit channels, rows in parallel; `target` rows are `stride` bytes apart.
    pub(crate) fn resize(&self, source: PixelView<'_>, target: &mut [u8], stride: usize) {
        target
            .par_chunks_mut(stride)
            .take(self.rows.len())
            .enumerate()
            .with_min_len(MIN_ROWS_PER_TASK)
            .for_each_init(
                || self.buffers.take(),
                |buffer, (y, target)| {
                    let values = self.row(source, y, buffer);
                    for (target, value) in target.iter_mut().zip(values) {
                        // A float to u8 cast saturates; OpenCV rounds to the nearest.
                        *target = (value + 0.5) as u8;
                    }
                },
            );
    }

    /// Row `y` of the result, three interleaved channels, before it is rounded.
    pub(crate) fn row<'l, T: Copy + Into<f32>>(
        &self,
        source: PixelView<'_, T>,
        y: usize,
        buffer: &'l mut RowBuffer,
    ) -> &'l [f32] {
        let width = self.from.0 * CHANNELS;
        let before = EDGE * CHANNELS;
        buffer.blend.resize(before + width + before + 1, 0.0);
        buffer.values.resize(self.columns.len() * CHANNELS + 1, 0.0);
        let row = &self.rows[y];
        let source_row = |k: usize| &source.pixels[row.at[k] * source.stride..][..width];
        blend(
            [source_row(0), source_row(1), source_row(2), source_row(3)],
            row.weight,
            &mut buffer.blend[before..before + width],
        );
        for edge_pixel in 0..EDGE {
            let end = before + width;
            buffer
                .blend
                .copy_within(before..before + CHANNELS, edge_pixel * CHANNELS);
            buffer
                .blend
                .copy_within(end - CHANNELS..end, end + edge_pixel * CHANNELS);
        }
        // Four values at a time, so that a pixel fits a register. The next pixel overwrites the fourth value.
        for (x, column) in self.columns.iter().enumerate() {
            let taps = &buffer.blend[column.at..][..=TAPS * CHANNELS];
            let out = &mut buffer.values[x * CHANNELS..x * CHANNELS + 4];
            let mut sum = [0.0; 4];
            for (pixel, weight) in column.weight.iter().enumerate() {
                let pixel = &taps[pixel * CHANNELS..pixel * CHANNELS + 4];
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += value * weight;
                }
            }
            out.copy_from_slice(&sum);
        }
        &buffer.values[..self.columns.len() * CHANNELS]
    }
}

/// Buffers for one row, which are used again for the next row.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    /// The weighted sum of the source rows, with replicated edges.
    blend: Vec<f32>,
    /// The resized row.
    values: Vec<f32>,
}

/// The weighted sum of four rows.
fn blend<T: Copy + Into<f32>>(rows: [&[T]; TAPS], weights: [f32; TAPS], out: &mut [f32]) {
    let [a, b, c, d] = rows.map(|row| &row[..out.len()]);
    let [wa, wb, wc, wd] = weights;
    for (i, out) in out.iter_mut().enumerate() {
        *out = a[i].into() * wa + b[i].into() * wb + c[i].into() * wc + d[i].into() * wd;
    }
}

/// The first source pixel of target pixel `i`, which may lie outside the source, and the weights from there on.
fn taps_at(i: usize, from: usize, to: usize) -> (i64, [f32; TAPS]) {
    let scale = from as f64 / to as f64;
    let centre = (i as f64 + 0.5) * scale - 0.5;
    let before = centre.floor();
    (before as i64 - 1, kernel((centre - before) as f32))
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
        let view = PixelView {
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
