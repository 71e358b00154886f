//! A background and its crop rectangle -> the network input.
//!
//! The crop is resized to 328x328. The generator sees and repaints the inner 320x320, without four pixels at each edge.

use rayon::prelude::*;

use crate::image::bicubic::{Bicubic, PixelView};
use crate::image::{Picture, Rect};

/// Side of the resized crop, in pixels.
pub const CROP: usize = 328;
/// Side of the inner picture, which the generator repaints, in pixels.
pub const INNER: usize = 320;
/// Width of the border of the crop around the inner picture, in pixels.
pub(crate) const BORDER: usize = (CROP - INNER) / 2;
/// Rows of the inner picture that are hidden in the masked copy.
pub(crate) const MASK_ROWS: std::ops::Range<usize> = 5..310;
/// Columns of the inner picture that are hidden in the masked copy.
pub(crate) const MASK_COLUMNS: std::ops::Range<usize> = 5..315;
/// Values per network input, `[6, 320, 320]`.
pub const INPUT_LEN: usize = 6 * PLANE;
/// Values per network output, `[3, 320, 320]`.
pub const OUTPUT_LEN: usize = 3 * PLANE;
/// Values per plane of the inner picture.
pub(super) const PLANE: usize = INNER * INNER;
/// Fewest rows per parallel task.
pub(super) const MIN_ROWS_PER_TASK: usize = 32;

/// The range of a crop's values with the rows of its inner picture.
pub(super) fn inner_rows() -> std::ops::Range<usize> {
    BORDER * CROP * 3..(BORDER + INNER) * CROP * 3
}

/// Cuts `rect` out of `frame` and resizes it to 328x328 (R G B).
pub fn crop(frame: &Picture, rect: Rect) -> Picture {
    let mut out = Picture::new(CROP, CROP);
    let stride = frame.width * 3;
    let view = PixelView {
        pixels: &frame.pixels[rect.y0 as usize * stride + rect.x0 as usize * 3..],
        stride,
    };
    Bicubic::new((rect.width(), rect.height()), (CROP, CROP)).resize(
        view,
        &mut out.pixels,
        CROP * 3,
    );
    out
}

/// Writes the network input of a 328x328 crop: `[6, 320, 320]`, B G R of the inner picture, then the same masked; 0..1.
pub fn network_input(crop: &Picture, out: &mut [f32]) {
    let (whole, masked) = out.split_at_mut(3 * PLANE);
    // The contract divides by 255. A table keeps the division exact, and out of the loop.
    let normalised: [f32; 256] = std::array::from_fn(|v| v as f32 / 255.0);
    let planes = whole
        .par_chunks_exact_mut(PLANE)
        .zip(masked.par_chunks_exact_mut(PLANE));
    planes.enumerate().for_each(|(plane, (whole, masked))| {
        let channel = 2 - plane;
        let rows = whole
            .chunks_exact_mut(INNER)
            .zip(masked.chunks_exact_mut(INNER));
        for (y, (whole, masked)) in rows.enumerate() {
            let start = ((y + BORDER) * CROP + BORDER) * 3;
            let plane_row = crop.pixels[start..start + INNER * 3].chunks_exact(3);
            for (value, pixel) in whole.iter_mut().zip(plane_row) {
                *value = normalised[usize::from(pixel[channel])];
            }
            masked.copy_from_slice(whole);
            if MASK_ROWS.contains(&y) {
                masked[MASK_COLUMNS].fill(0.0);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_bgr_and_the_mask_is_where_the_contract_says() {
        let mut crop = Picture::new(CROP, CROP);
        for pixel in crop.pixels.chunks_exact_mut(3) {
            pixel.copy_from_slice(&[255, 51, 0]);
        }
        let mut input = vec![f32::NAN; INPUT_LEN];
        network_input(&crop, &mut input);
        assert_eq!((input[0], input[PLANE], input[2 * PLANE]), (0.0, 0.2, 1.0));
        let red = &input[5 * PLANE..];
        for (y, x, value) in [
            (4, 5, 1.0),
            (5, 4, 1.0),
            (5, 5, 0.0),
            (309, 314, 0.0),
            (310, 314, 1.0),
            (309, 315, 1.0),
        ] {
            assert_eq!(red[y * INNER + x], value, "row {y} column {x}");
        }
    }
}
