//! PSNR, SSIM and the largest difference of two pictures, defined as in FFmpeg's filters `psnr` and `ssim`.

use crate::background::video::{PlanarPicture, Plane};
use crate::image;

/// Width and height of a block. An SSIM window is 2x2 blocks; windows overlap by one block.
const BLOCK: usize = 4;

/// How much two pictures differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PictureDifference {
    /// Mean squared error over all planes, each weighted by its number of samples.
    pub mse: f64,
    /// Structural similarity over all planes, weighted the same way, at most 1.
    pub ssim: f64,
    /// Largest difference between two samples.
    pub max_abs: u16,
    /// Its column and row in the picture.
    pub at: [usize; 2],
    /// Each plane alone.
    pub planes: Vec<PlaneDifference>,
}

/// How much two planes differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PlaneDifference {
    /// `Y`, `U`, `V`, `R`, `G`, `B` or `A`.
    pub letter: char,
    /// Mean squared error.
    pub mse: f64,
    /// Structural similarity, at most 1.
    pub ssim: f64,
}

/// Measures how much two pictures with the same planes differ.
pub(crate) fn measure(expected: &PlanarPicture, actual: &PlanarPicture) -> PictureDifference {
    let count = |plane: &Plane| plane.samples.len() as f64;
    let total: f64 = expected.planes.iter().map(count).sum();
    let mut all = PictureDifference::default();
    for (a, b) in expected.planes.iter().zip(&actual.planes) {
        let (mse, max_abs, position) = errors(a, b);
        let ssim = if mse == 0.0 {
            1.0
        } else {
            ssim(a, b, expected.depth)
        };
        let weight = count(a) / total;
        all.mse += weight * mse;
        all.ssim += weight * ssim;
        if max_abs > all.max_abs {
            all.max_abs = max_abs;
            // The first plane is as large as the picture.
            let picture = &expected.planes[0];
            all.at = [
                position % a.width * picture.width / a.width,
                position / a.width * picture.height / a.height,
            ];
        }
        all.planes.push(PlaneDifference {
            letter: a.letter,
            mse,
            ssim,
        });
    }
    all
}

/// Peak signal-to-noise ratio in dB of samples of `depth` bits; infinite if there is no error.
pub(crate) fn psnr(mse: f64, depth: u32) -> f64 {
    image::psnr(mse, f64::from((1_u32 << depth) - 1))
}

/// Mean squared error, largest difference, and the index of the first sample that has it.
fn errors(a: &Plane, b: &Plane) -> (f64, u16, usize) {
    let (mut sum, mut max, mut position) = (0_u64, 0, 0);
    let rows = a.samples.chunks(a.width).zip(b.samples.chunks(b.width));
    for (y, (a_row, b_row)) in rows.enumerate() {
        let squares = a_row.iter().zip(b_row).map(|(a, b)| {
            let difference = u64::from(a.abs_diff(*b));
            difference * difference
        });
        sum += squares.sum::<u64>();
        let differences = || a_row.iter().zip(b_row).map(|(a, b)| a.abs_diff(*b));
        let row_max = differences().max().unwrap_or(0);
        if row_max > max {
            max = row_max;
            position = y * a.width + differences().position(|d| d == max).unwrap_or(0);
        }
    }
    (sum as f64 / a.samples.len().max(1) as f64, max, position)
}

/// SampleSums over the sample pairs of a block or a window.
#[derive(Debug, Clone, Copy, Default)]
struct SampleSums {
    a: u64,
    b: u64,
    /// Squares of both.
    squares: u64,
    products: u64,
}

impl SampleSums {
    fn add(&mut self, other: SampleSums) {
        self.a += other.a;
        self.b += other.b;
        self.squares += other.squares;
        self.products += other.products;
    }

    /// The similarity of `count` samples with the given peak (Z. Wang et al., Image quality assessment, 2004). The
    /// constants are weighted as in x264 and FFmpeg, so that the figures are comparable.
    fn ssim(self, count: f64, peak: f64) -> f64 {
        let c1 = ((0.01 * peak).powi(2) * count).round();
        let c2 = ((0.03 * peak).powi(2) * count * (count - 1.0)).round();
        let (a, b) = (self.a as f64, self.b as f64);
        let variances = self.squares as f64 * count - a * a - b * b;
        let covariance = self.products as f64 * count - a * b;
        (2.0 * a * b + c1) * (2.0 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
    }
}

/// Mean similarity of all windows of 8x8 samples, 4 apart. Samples at the right and bottom edge that do not fill a block
/// are ignored; a plane smaller than a window is one window.
fn ssim(a: &Plane, b: &Plane, depth: u32) -> f64 {
    let peak = f64::from((1_u32 << depth) - 1);
    let (across, down) = (a.width / BLOCK, a.height / BLOCK);
    if across < 2 || down < 2 {
        let mut all = SampleSums::default();
        for (a, b) in a.samples.iter().zip(&b.samples) {
            all.add(pair_sums(*a, *b));
        }
        return all.ssim((a.samples.len() as f64).max(2.0), peak);
    }
    let (mut above, mut current) = (
        vec![SampleSums::default(); across],
        vec![SampleSums::default(); across],
    );
    let mut sum = 0.0;
    for row in 0..down {
        sum_blocks(a, b, row, &mut current);
        if row > 0 {
            let windows = above.windows(2).zip(current.windows(2));
            for (upper, lower) in windows {
                let mut window = upper[0];
                window.add(upper[1]);
                window.add(lower[0]);
                window.add(lower[1]);
                sum += window.ssim((4 * BLOCK * BLOCK) as f64, peak);
            }
        }
        std::mem::swap(&mut above, &mut current);
    }
    sum / ((across - 1) * (down - 1)) as f64
}

fn pair_sums(a: u16, b: u16) -> SampleSums {
    let (a, b) = (u64::from(a), u64::from(b));
    SampleSums {
        a,
        b,
        squares: a * a + b * b,
        products: a * b,
    }
}

/// The sums of a row of blocks.
fn sum_blocks(a: &Plane, b: &Plane, row: usize, out: &mut [SampleSums]) {
    out.fill(SampleSums::default());
    for y in row * BLOCK..(row + 1) * BLOCK {
        let line = y * a.width..(y + 1) * a.width;
        let a_blocks = a.samples[line.clone()].chunks_exact(BLOCK);
        let b_blocks = b.samples[line].chunks_exact(BLOCK);
        for ((sums, a), b) in out.iter_mut().zip(a_blocks).zip(b_blocks) {
            for (a, b) in a.iter().zip(b) {
                sums.add(pair_sums(*a, *b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plane(
        letter: char,
        width: usize,
        height: usize,
        value: impl Fn(usize, usize) -> u16,
    ) -> Plane {
        let samples = (0..width * height).map(|i| value(i % width, i / width));
        Plane {
            letter,
            width,
            height,
            samples: samples.collect(),
        }
    }

    fn grey(depth: u32, plane: Plane) -> PlanarPicture {
        PlanarPicture {
            depth,
            full_range: true,
            planes: vec![plane],
        }
    }

    fn texture(x: usize, y: usize) -> u16 {
        ((x * 37 + y * 91) % 200) as u16
    }

    #[test]
    fn identical_pictures_are_identical() {
        let picture = grey(8, plane('Y', 32, 24, texture));
        let found = measure(&picture, &picture);
        assert_eq!((found.mse, found.ssim, found.max_abs), (0.0, 1.0, 0));
        assert_eq!(psnr(found.mse, 8), f64::INFINITY);
        // Not only the shortcut for identical planes says so, but the formula too.
        let plane = &picture.planes[0];
        assert!((ssim(plane, plane, 8) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_known_error_has_its_psnr() {
        let expected = grey(8, plane('Y', 32, 24, texture));
        let actual = grey(8, plane('Y', 32, 24, |x, y| texture(x, y) + 5));
        let found = measure(&expected, &actual);
        assert_eq!((found.mse, found.max_abs, found.at), (25.0, 5, [0, 0]));
        // 20 log10(255 / 5)
        assert!((psnr(found.mse, 8) - 34.151_4).abs() < 1e-4);
        assert!((psnr(25.0 * 16.0, 10) - 34.175_4).abs() < 1e-1);
    }

    #[test]
    fn planes_are_weighted_by_their_samples_and_positions_are_those_of_the_picture() {
        let planes = |dot: u16| PlanarPicture {
            depth: 8,
            full_range: false,
            planes: vec![
                plane('Y', 16, 16, |_, _| 100),
                plane('U', 8, 8, |x, y| if (x, y) == (3, 5) { dot } else { 100 }),
                plane('V', 8, 8, |_, _| 100),
            ],
        };
        let found = measure(&planes(100), &planes(180));
        assert_eq!((found.max_abs, found.at), (80, [6, 10]));
        assert!((found.mse - 6400.0 / 384.0).abs() < 1e-9);
        assert_eq!(found.planes[1].mse, 100.0);
    }

    #[test]
    fn an_inverted_picture_is_dissimilar() {
        let waves = |x: usize, y: usize| if (x + y).is_multiple_of(2) { 200 } else { 50 };
        let a = plane('Y', 16, 16, waves);
        let b = plane('Y', 16, 16, |x, y| waves(x + 1, y));
        assert!(ssim(&a, &b, 8) < -0.9);
        // A plane smaller than a window.
        let small = |shift| plane('U', 4, 4, move |x, y| waves(x + shift, y));
        assert!(ssim(&small(0), &small(1), 8) < -0.9);
    }

    proptest! {
        #[test]
        fn similarity_is_symmetric_and_at_most_one(
            samples in prop::collection::vec((0_u16..1024, 0_u16..1024), 16 * 12),
        ) {
            let (a, b): (Vec<u16>, Vec<u16>) = samples.into_iter().unzip();
            let of = |samples| Plane { letter: 'Y', width: 16, height: 12, samples };
            let (a, b) = (of(a), of(b));
            let forth = ssim(&a, &b, 10);
            prop_assert!((-1.0..=1.0).contains(&forth));
            prop_assert!((forth - ssim(&b, &a, 10)).abs() < 1e-12);
        }
    }
}
