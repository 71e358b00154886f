//! A picture reduced to a grid of brightness, by which shots are told apart.

use crate::image::Picture;

/// Columns and rows of the grid.
const GRID: usize = 24;
/// Pixels that are looked at along each side of a cell.
const SAMPLES: usize = 6;

/// Mean brightness of each cell, 0..255, row by row.
#[derive(Debug, Clone)]
pub(super) struct Thumbnail(Vec<f32>);

impl Thumbnail {
    pub(super) fn of(picture: &Picture) -> Self {
        let at = |cell: usize, sample: usize, len: usize| {
            (cell * SAMPLES + sample) * len / (GRID * SAMPLES)
        };
        let cells = (0..GRID * GRID).map(|cell| {
            let (column, row) = (cell % GRID, cell / GRID);
            let mut sum = 0_u32;
            for sample in 0..SAMPLES * SAMPLES {
                let x = at(column, sample % SAMPLES, picture.width);
                let y = at(row, sample / SAMPLES, picture.height);
                let pixel = &picture.pixels[(y * picture.width + x) * 3..][..3];
                let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
                sum += 299 * red + 587 * green + 114 * blue;
            }
            sum as f32 / (1000 * SAMPLES * SAMPLES) as f32
        });
        Self(cells.collect())
    }

    /// Mean difference between the cells, in levels of 255.
    pub(super) fn difference(&self, other: &Self) -> f32 {
        let cells = self.0.iter().zip(&other.0);
        cells.map(|(a, b)| (a - b).abs()).sum::<f32>() / self.0.len() as f32
    }
}
