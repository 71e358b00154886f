//! One picture reduced to a few numbers, by which it is compared with its neighbours.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use anyhow::Result;

use crate::background::crop_rects::RawRect;
use crate::background::load_picture;
use crate::image::{Picture, Size};

/// Columns and rows of the brightness grid.
const GRID: usize = 24;

/// The numbers that a picture is reduced to.
#[derive(Debug)]
pub(super) struct FrameStats {
    pub(super) size: Size,
    /// Hash of all pixels: the same for identical pictures.
    pub(super) hash: u64,
    /// Variance of the Laplacian in the crop rectangle, or in the whole picture without one.
    pub(super) sharpness: f64,
    /// Mean brightness of each grid cell, 0..255, row by row.
    cells: Vec<f64>,
}

impl FrameStats {
    /// Decodes a picture; `rect` is its crop rectangle.
    pub(super) fn of(path: &Path, rect: Option<RawRect>) -> Result<Self> {
        let picture = load_picture(path)?;
        let size = picture.size();
        let mut hasher = DefaultHasher::new();
        hasher.write(&picture.pixels);
        let luma = Luma::of(&picture);
        Ok(Self {
            size,
            hash: hasher.finish(),
            sharpness: luma.sharpness(rect),
            cells: luma.cells(),
        })
    }

    /// Mean difference between the cells, in levels of 255.
    pub(super) fn change(&self, other: &Self) -> f64 {
        let cells = self.cells.iter().zip(&other.cells);
        cells.map(|(a, b)| (a - b).abs()).sum::<f64>() / self.cells.len() as f64
    }
}

/// The brightness of a picture, 0..255, `[height, width]`.
struct Luma {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Luma {
    fn of(picture: &Picture) -> Self {
        let brightness = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        Self {
            width: picture.width,
            height: picture.height,
            values: picture.pixels.chunks_exact(3).map(brightness).collect(),
        }
    }

    /// Variance of the Laplacian inside `rect`, without the outermost pixels of the picture.
    fn sharpness(&self, rect: Option<RawRect>) -> f64 {
        let [x0, y0, x1, y1] = rect.unwrap_or([0, 0, i64::MAX, i64::MAX]);
        let range = |from: i64, to: i64, size: usize| {
            let last = size.saturating_sub(1) as i64;
            from.clamp(1, last.max(1)) as usize..to.clamp(0, last) as usize
        };
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for y in range(y0, y1, self.height) {
            for x in range(x0, x1, self.width) {
                let i = y * self.width + x;
                let neighbours = self.values[i - 1]
                    + self.values[i + 1]
                    + self.values[i - self.width]
                    + self.values[i + self.width];
                let laplacian = f64::from(neighbours - 4.0 * self.values[i]);
                sum += laplacian;
                squares += laplacian * laplacian;
                count += 1.0;
            }
        }
        let count = f64::max(count, 1.0);
        squares / count - (sum / count).powi(2)
    }

    /// Mean of each cell of a grid over the picture.
    fn cells(&self) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); GRID * GRID];
        for (y, row) in self.values.chunks_exact(self.width.max(1)).enumerate() {
            let down = y * GRID / self.height * GRID;
            for (x, value) in row.iter().enumerate() {
                let (sum, count) = &mut sums[down + x * GRID / self.width];
                *sum += f64::from(*value);
                *count += 1.0;
            }
        }
        let means = sums.iter().map(|(sum, count)| sum / f64::max(*count, 1.0));
        means.collect()
    }
}

/// The median; 0 if there are no values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{RgbImage, imageops};

    fn stats(picture: &RgbImage, name: &str) -> FrameStats {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        picture.save(&path).unwrap();
        FrameStats::of(&path, Some([10, 10, 90, 70])).unwrap()
    }

    #[test]
    fn blurring_lowers_sharpness_and_hardly_changes_the_cells() {
        let noise = |x: u32, y: u32| ((x * 7919) ^ (y * 104_729)).wrapping_mul(2_654_435_761) >> 24;
        let sharp = RgbImage::from_fn(100, 80, |x, y| image::Rgb([noise(x, y) as u8; 3]));
        let blurred = imageops::blur(&sharp, 2.0);
        let (a, b) = (stats(&sharp, "a.png"), stats(&blurred, "b.png"));
        assert!(b.sharpness < a.sharpness / 20.0);
        assert_ne!(a.hash, b.hash);
        assert!(a.change(&b) < 20.0);
        assert_eq!(a.change(&stats(&sharp, "c.png")), 0.0);
    }
}
