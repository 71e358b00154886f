//! A background frame and its crop rectangle -> what the generator sees; the generator's picture -> the frame.
//!
//! The crop is resized to 328x328; the networks see and repaint its inner 320x320, four pixels from each edge.

use rayon::prelude::*;

use crate::bicubic::{Bicubic, View};
use crate::frame::{Picture, Rect};

/// Side of the resized crop.
pub const CROP: usize = 328;
/// Side of the inner picture.
pub const INNER: usize = 320;
/// Columns and rows of the crop around the inner picture.
pub(crate) const RIM: usize = (CROP - INNER) / 2;
/// Rows of the inner picture that are hidden in the masked copy.
pub(crate) const MASK_ROWS: std::ops::Range<usize> = 5..310;
/// Columns of the inner picture that are hidden in the masked copy.
pub(crate) const MASK_COLUMNS: std::ops::Range<usize> = 5..315;
/// Values of one network input, `[6, 320, 320]`.
pub const INPUT_LEN: usize = 6 * PLANE;
/// Values of one network output, `[3, 320, 320]`.
pub const OUTPUT_LEN: usize = 3 * PLANE;
const PLANE: usize = INNER * INNER;

/// Cuts `rect` out of `frame` and resizes it to 328x328 (R G B).
pub fn crop(frame: &Picture, rect: Rect) -> Picture {
    let mut out = Picture::new(CROP, CROP);
    let stride = frame.width * 3;
    let view = View {
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

/// Writes the network input of a 328x328 crop: `[6, 320, 320]`, the inner picture's B, G, R, then the same masked; 0..1.
pub fn network_input(crop: &Picture, out: &mut [f32]) {
    let (whole, masked) = out.split_at_mut(3 * PLANE);
    // The contract divides by 255: a table keeps the division exact and out of the loop.
    let unit: [f32; 256] = std::array::from_fn(|v| v as f32 / 255.0);
    let planes = whole
        .par_chunks_exact_mut(PLANE)
        .zip(masked.par_chunks_exact_mut(PLANE));
    planes.enumerate().for_each(|(plane, (whole, masked))| {
        let channel = 2 - plane;
        let rows = whole
            .chunks_exact_mut(INNER)
            .zip(masked.chunks_exact_mut(INNER));
        for (y, (whole, masked)) in rows.enumerate() {
            let start = ((y + RIM) * CROP + RIM) * 3;
            let line = crop.pixels[start..start + INNER * 3].chunks_exact(3);
            for (value, pixel) in whole.iter_mut().zip(line) {
                *value = unit[usize::from(pixel[channel])];
            }
            masked.copy_from_slice(whole);
            if MASK_ROWS.contains(&y) {
                masked[MASK_COLUMNS].fill(0.0);
            }
        }
    });
}

/// How the network's picture gets into the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Paste {
    /// the whole crop, resized back: to the pixel as the reference renderer does it
    Reference,
}

/// Puts network outputs into frames, with memory and plans that stay from one to the next.
#[derive(Debug, Default)]
pub struct Paster {
    patch: Picture,
    back: Option<Bicubic>,
}

impl Paster {
    /// Repaints `rect` of `frame` from its `crop` and the network's `output`, `[3, 320, 320]`, B G R, 0..1.
    pub fn paste(
        &mut self,
        how: Paste,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        match how {
            Paste::Reference => self.reference(frame, rect, crop, output),
        }
    }

    /// The inner picture replaces the crop's, and the whole crop, resized back, replaces the rectangle.
    fn reference(&mut self, frame: &mut Picture, rect: Rect, crop: &Picture, output: &[f32]) {
        self.patch.copy_from(crop);
        let rows = self
            .patch
            .pixels
            .par_chunks_exact_mut(CROP * 3)
            .skip(RIM)
            .take(INNER);
        rows.enumerate().for_each(|(y, row)| {
            let line = |plane: usize| &output[plane * PLANE + y * INNER..][..INNER];
            let (blue, green, red) = (line(0), line(1), line(2));
            let pixels = row[RIM * 3..(RIM + INNER) * 3].chunks_exact_mut(3);
            for (x, pixel) in pixels.enumerate() {
                // Truncated, as in the reference; the cast saturates.
                pixel[0] = (red[x] * 255.0) as u8;
                pixel[1] = (green[x] * 255.0) as u8;
                pixel[2] = (blue[x] * 255.0) as u8;
            }
        });
        let size = (rect.width(), rect.height());
        if !self
            .back
            .as_ref()
            .is_some_and(|plan| plan.fits((CROP, CROP), size))
        {
            self.back = None;
        }
        let plan = self
            .back
            .get_or_insert_with(|| Bicubic::new((CROP, CROP), size));
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride + rect.x0 as usize * 3;
        let view = View {
            pixels: &self.patch.pixels,
            stride: CROP * 3,
        };
        plan.resize(view, &mut frame.pixels[start..], stride);
    }
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

    #[test]
    fn what_lies_outside_the_rectangle_stays() {
        let frame = Picture {
            width: 100,
            height: 80,
            pixels: (0..100 * 80 * 3).map(|i| (i % 251) as u8).collect(),
            alpha: None,
        };
        let rect = Rect {
            x0: 17,
            y0: 9,
            x1: 77,
            y1: 69,
        };
        let mut out = frame.clone();
        Paster::default().paste(
            Paste::Reference,
            &mut out,
            rect,
            &crop(&frame, rect),
            &vec![0.5; OUTPUT_LEN],
        );
        for y in 0..80_u32 {
            for x in 0..100_u32 {
                let inside = (rect.x0..rect.x1).contains(&x) && (rect.y0..rect.y1).contains(&y);
                let at = (y as usize * 100 + x as usize) * 3;
                if !inside {
                    assert_eq!(out.pixels[at..at + 3], frame.pixels[at..at + 3]);
                }
            }
        }
        let centre = (39 * 100 + 47) * 3;
        assert_eq!(out.pixels[centre..centre + 3], [127, 127, 127]);
    }
}
