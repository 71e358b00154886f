//! One picture in a few numbers, by which it is compared with its neighbours.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use anyhow::Result;
use image::RgbImage;

use crate::background::crop_rects::RawRect;
use crate::image::Size;

/// Cells of a picture across and down.
const CELLS: u32 = 24;

/// What is kept of a picture.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) size: Size,
    /// Of all its pixels: equal for equal pictures.
    pub(super) print: u64,
    /// Variance of the Laplacian in the rectangle, or in all of it.
    pub(super) sharpness: f64,
    /// Mean brightness of each cell, 0..255.
    cells: Vec<f64>,
}

impl Look {
    /// Decodes a picture and looks at it, at `rect` closely.
    pub(super) fn at(path: &Path, rect: Option<RawRect>) -> Result<Self> {
        let picture = image::open(path)?.into_rgb8();
        let size = Size {
            width: picture.width(),
            height: picture.height(),
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(picture.as_raw());
        let grey = Grey::of(&picture);
        Ok(Self {
            size,
            print: hasher.finish(),
            sharpness: grey.sharpness(rect),
            cells: grey.cells(),
        })
    }

    /// Mean difference of the cells, in levels of 255.
    pub(super) fn change(&self, other: &Self) -> f64 {
        let cells = self.cells.iter().zip(&other.cells);
        cells.map(|(a, b)| (a - b).abs()).sum::<f64>() / self.cells.len() as f64
    }
}

/// The brightness of a picture, 0..255.
struct Grey {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Grey {
    fn of(picture: &RgbImage) -> Self {
        let brightness = |p: &image::Rgb<u8>| {
            let [r, g, b] = p.0.map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        Self {
            width: picture.width() as usize,
            height: picture.height() as usize,
            values: picture.pixels().map(brightness).collect(),
        }
    }

    fn sharpness(&self, rect: Option<RawRect>) -> f64 {
        let [x0, y0, x1, y1] = rect.unwrap_or([0, 0, i64::MAX, i64::MAX]);
        let range = |from: i64, to: i64, size: usize| {
            let most = size.saturating_sub(1) as i64;
            from.clamp(1, most.max(1)) as usize..to.clamp(0, most) as usize
        };
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for y in range(y0, y1, self.height) {
            for x in range(x0, x1, self.width) {
                let at = y * self.width + x;
                let around = self.values[at - 1]
                    + self.values[at + 1]
                    + self.values[at - self.width]
                    + self.values[at + self.width];
                let laplacian = f64::from(around - 4.0 * self.values[at]);
                sum += laplacian;
                squares += laplacian * laplacian;
                count += 1.0;
            }
        }
        let count = f64::max(count, 1.0);
        squares / count - (sum / count).powi(2)
    }

    fn cells(&self) -> Vec<f64> {
        let cells = CELLS as usize;
        let mut sums = vec![(0.0, 0.0); cells * cells];
        for (y, row) in self.values.chunks_exact(self.width.max(1)).enumerate() {
            let down = y * cells / self.height * cells;
            for (x, value) in row.iter().enumerate() {
                let (sum, count) = &mut sums[down + x * cells / self.width];
                *sum += f64::from(*value);
                *count += 1.0;
            }
        }
        let means = sums.iter().map(|(sum, count)| sum / f64::max(*count, 1.0));
        means.collect()
    }
}

/// The middle value; 0 where there is none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops;

    fn looked_at(picture: &RgbImage, name: &str) -> Look {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        picture.save(&path).unwrap();
        Look::at(&path, Some([10, 10, 90, 70])).unwrap()
    }

    #[test]
    fn blurring_lowers_sharpness_and_hardly_changes_the_cells() {
        let noise = |x: u32, y: u32| ((x * 7919) ^ (y * 104_729)).wrapping_mul(2_654_435_761) >> 24;
        let sharp = RgbImage::from_fn(100, 80, |x, y| image::Rgb([noise(x, y) as u8; 3]));
        let blurred = imageops::blur(&sharp, 2.0);
        let (a, b) = (looked_at(&sharp, "a.png"), looked_at(&blurred, "b.png"));
        assert!(b.sharpness < a.sharpness / 20.0);
        assert_ne!(a.print, b.print);
        assert!(a.change(&b) < 20.0);
        assert_eq!(a.change(&looked_at(&sharp, "c.png")), 0.0);
    }
}
