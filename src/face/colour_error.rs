//! The generator's colour error, measured on the border around the mask.

use rayon::prelude::*;

use super::input::{BORDER, CROP, INNER, MASK_COLUMNS, MASK_ROWS, MIN_ROWS_PER_TASK, inner_rows};

/// Blocks on each side of the border.
const BORDER_BLOCKS: usize = 8;
/// A block that differs from the median of the border by more levels than this shows motion, not a colour error.
const MAX_SPREAD: f32 = 6.0;

/// The colour error: what the generator changes on the border around the mask, which it sees as well as repaints.
///
/// Each side has one colour per pixel along an edge of the inner picture, R G B in levels of 255.
pub(super) struct ColourError {
    top: Side,
    bottom: Side,
    left: Side,
    right: Side,
}

type Side = [[f32; 3]; INNER];

impl ColourError {
    /// Measures the error in a change as large as the crop, `[328, 328, 3]`.
    pub(super) fn measure(change: &[f32]) -> Self {
        let block_len = INNER / BORDER_BLOCKS;
        let along = |block: usize| block * block_len..(block + 1) * block_len;
        let (above, below) = (0..MASK_ROWS.start, MASK_ROWS.end..INNER);
        let (left_of, right_of) = (0..MASK_COLUMNS.start, MASK_COLUMNS.end..INNER);
        debug_assert_eq!(INNER % BORDER_BLOCKS, 0);
        let mut sides: [[[f32; 3]; BORDER_BLOCKS]; 4] = [
            std::array::from_fn(|b| mean(change, &above, &along(b))),
            std::array::from_fn(|b| mean(change, &below, &along(b))),
            std::array::from_fn(|b| mean(change, &along(b), &left_of)),
            std::array::from_fn(|b| mean(change, &along(b), &right_of)),
        ];
        for channel in 0..3 {
            let blocks = sides.as_flattened();
            let mut all: [f32; 4 * BORDER_BLOCKS] = std::array::from_fn(|i| blocks[i][channel]);
            all.sort_unstable_by(f32::total_cmp);
            let median = f32::midpoint(all[all.len() / 2 - 1], all[all.len() / 2]);
            for block in sides.as_flattened_mut() {
                block[channel] = block[channel].clamp(median - MAX_SPREAD, median + MAX_SPREAD);
            }
        }
        let [top, bottom, left, right] = sides;
        let last = BORDER_BLOCKS - 1;
        let corner = |a: [f32; 3], b: [f32; 3]| std::array::from_fn(|c| f32::midpoint(a[c], b[c]));
        let (top_left, top_right) = (corner(top[0], left[0]), corner(top[last], right[0]));
        let (bottom_left, bottom_right) = (
            corner(bottom[0], left[last]),
            corner(bottom[last], right[last]),
        );
        Self {
            top: side(top_left, &top, top_right),
            bottom: side(bottom_left, &bottom, bottom_right),
            left: side(top_left, &left, bottom_left),
            right: side(top_right, &right, bottom_right),
        }
    }

    /// Subtracts the error from the inner picture. It is interpolated from the four sides as a Coons patch (S. Coons,
    /// 1967), which is exact on the sides, and flat if they are.
    pub(super) fn subtract_from(&self, change: &mut [f32]) {
        let end = (INNER - 1) as f32;
        let across_a_row = |x: usize| x as f32 / end;
        // The corners, interpolated along the first and the last row.
        let between = |from: [f32; 3], to: [f32; 3]| -> Side {
            std::array::from_fn(|x| std::array::from_fn(|c| lerp(from[c], to[c], across_a_row(x))))
        };
        let first = between(self.top[0], self.top[INNER - 1]);
        let last = between(self.bottom[0], self.bottom[INNER - 1]);
        let rows = change[inner_rows()].par_chunks_exact_mut(CROP * 3);
        rows.enumerate()
            .with_min_len(MIN_ROWS_PER_TASK)
            .for_each(|(y, row)| {
                let v = y as f32 / end;
                let (left, right) = (self.left[y], self.right[y]);
                let pixels = row[BORDER * 3..(BORDER + INNER) * 3].as_chunks_mut::<3>().0;
                let lines = self
                    .top
                    .iter()
                    .zip(&self.bottom)
                    .zip(first.iter().zip(&last));
                for (x, (pixel, ((top, bottom), (first, last)))) in
                    pixels.iter_mut().zip(lines).enumerate()
                {
                    let u = across_a_row(x);
                    for c in 0..3 {
                        let across = lerp(left[c], right[c], u);
                        let down = lerp(top[c], bottom[c], v);
                        let both = lerp(first[c], last[c], v);
                        pixel[c] -= across + down - both;
                    }
                }
            });
    }
}

/// Mean colour of a part of the inner picture.
fn mean(
    change: &[f32],
    rows: &std::ops::Range<usize>,
    columns: &std::ops::Range<usize>,
) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for y in rows.clone() {
        let start = ((y + BORDER) * CROP + BORDER + columns.start) * 3;
        for pixel in change[start..start + columns.len() * 3].chunks_exact(3) {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
    }
    sum.map(|sum| sum / (rows.len() * columns.len()) as f32)
}

/// Interpolates [`INNER`] colours from corner to corner through the centres of the blocks.
fn side(first: [f32; 3], blocks: &[[f32; 3]; BORDER_BLOCKS], last: [f32; 3]) -> Side {
    let block_len = (INNER / BORDER_BLOCKS) as f32;
    let knot = |k: usize| match k {
        0 => (0.0, first),
        k if k <= BORDER_BLOCKS => ((k as f32 - 0.5) * block_len, blocks[k - 1]),
        _ => ((INNER - 1) as f32, last),
    };
    std::array::from_fn(|i| {
        let before = (i as f32 / block_len + 0.5) as usize;
        let ((from, a), (to, b)) = (knot(before), knot(before + 1));
        std::array::from_fn(|c| lerp(a[c], b[c], (i as f32 - from) / (to - from)))
    })
}

/// Linear interpolation.
fn lerp(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
}
