//! The contract's crop square of each frame, without the trembling of single landmarks.
//!
//! The square is tied to the points that speech does not move: its position is their mean plus an offset that is the same
//! in all frames, apart from a term that grows with the turn of the head; its side is a multiple of their extent. Offsets
//! and multiple are those that come closest, over all frames, to the squares that single landmarks give.

use crate::face::FaceMeasures;
use crate::image::Size;

/// Standard deviation, in frames, by which positions are smoothed. All frames are known, so nothing lags.
const POSITION_SIGMA: f32 = 1.5;
/// The same for the side, which changes slowly.
const SIDE_SIGMA: f32 = 12.0;

/// The squares of consecutive frames, `[x0, y0, x1, y1]` in pixels; `x1` and `y1` are exclusive. Moved inside the picture
/// where they would cross its border.
pub(super) fn squares(faces: &[FaceMeasures], size: Size) -> Vec<[u32; 4]> {
    let offset = |axis: usize| {
        let values = faces.iter().map(|f| {
            let of_square = f.square[axis] - f.centre[axis];
            (f.yaw, of_square / f.scale)
        });
        line(&values.collect::<Vec<_>>())
    };
    let (x, y) = (offset(0), offset(1));
    let multiples: Vec<f32> = faces.iter().map(|f| f.square[2] / f.scale).collect();
    let multiple = multiples.iter().sum::<f32>() / multiples.len().max(1) as f32;
    let position = |axis: usize, [base, slope]: [f32; 2]| {
        let values = faces
            .iter()
            .map(|f| f.centre[axis] + f.scale * (base + slope * f.yaw));
        smooth(&values.collect::<Vec<f32>>(), POSITION_SIGMA)
    };
    let (lefts, tops) = (position(0, x), position(1, y));
    let sides: Vec<f32> = faces.iter().map(|f| f.scale * multiple).collect();
    let sides = smooth(&sides, SIDE_SIGMA);
    let corners = lefts.iter().zip(&tops).zip(&sides);
    corners
        .map(|((&left, &top), &side)| inside(left, top, side, size))
        .collect()
}

/// Intercept and slope of the line that comes closest to the values; the slope is 0 if the abscissae hardly differ.
fn line(values: &[(f32, f32)]) -> [f32; 2] {
    /// Variance of the turn, in square degrees, below which it explains nothing.
    const MIN_VARIANCE: f32 = 9.0;
    let count = values.len().max(1) as f32;
    let mean_x = values.iter().map(|v| v.0).sum::<f32>() / count;
    let mean_y = values.iter().map(|v| v.1).sum::<f32>() / count;
    let variance = values.iter().map(|v| (v.0 - mean_x).powi(2)).sum::<f32>() / count;
    if variance < MIN_VARIANCE {
        return [mean_y, 0.0];
    }
    let covariance = values.iter().map(|v| (v.0 - mean_x) * (v.1 - mean_y));
    let slope = covariance.sum::<f32>() / count / variance;
    [mean_y - slope * mean_x, slope]
}

/// A Gaussian of `sigma` frames; at both ends, only over the frames that there are.
pub(super) fn smooth(values: &[f32], sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as usize;
    let weight = |distance: usize| (-0.5 * (distance as f32 / sigma).powi(2)).exp();
    let at = |i: usize| {
        // As far on both sides, so that a steady movement is kept at the ends as well.
        let reach = reach.min(i).min(values.len() - 1 - i);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (j, value) in values
            .iter()
            .enumerate()
            .take(i + reach + 1)
            .skip(i - reach)
        {
            let weight = weight(i.abs_diff(j));
            sum += weight * value;
            weights += weight;
        }
        sum / weights
    };
    (0..values.len()).map(at).collect()
}

fn inside(left: f32, top: f32, length: f32, picture: Size) -> [u32; 4] {
    let shorter = picture.width.min(picture.height);
    let side = (length.round() as u32).clamp(1, shorter);
    let place = |at: f32, len: u32| (at.round().max(0.0) as u32).min(len - side);
    let (x, y) = (place(left, picture.width), place(top, picture.height));
    [x, y, x + side, y + side]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn smoothing_keeps_a_steady_movement() {
        let values: Vec<f32> = (0..40).map(|i| i as f32 * 3.0 + 7.0).collect();
        for (smoothed, value) in smooth(&values, 4.0).iter().zip(&values) {
            assert!((smoothed - value).abs() < 1e-3, "{smoothed} {value}");
        }
    }

    proptest! {
        #[test]
        fn squares_lie_in_the_picture(
            left in -900.0_f32..900.0, top in -900.0_f32..900.0, side in -10.0_f32..2000.0,
            width in 1_u32..800, height in 1_u32..800,
        ) {
            let [x0, y0, x1, y1] = inside(left, top, side, Size { width, height });
            prop_assert!(x0 < x1 && x1 <= width && y0 < y1 && y1 <= height);
            prop_assert_eq!(x1 - x0, y1 - y0);
        }
    }
}
