//! The generator's picture -> the frame.

use rayon::prelude::*;

use super::colour_error::ColourError;
use super::input::{
    CROP, INNER, MASK_COLUMNS, MASK_ROWS, MIN_ROWS_PER_TASK, PLANE, RIM, inner_rows,
};
use crate::image::bicubic::{Bicubic, PixelView, RowBuffer};
use crate::image::pool::Pool;
use crate::image::{Picture, Rect};

/// How the network's picture gets into the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Paste {
    /// only what the network may change, colour-matched and feathered, at the frame's own resolution
    Seamless,
    /// the whole crop, resized back: to the pixel as the reference renderer does it
    Reference,
}

/// Puts network outputs into frames, with memory and plans that stay from one to the next.
#[derive(Debug, Default)]
pub struct Paster {
    /// The crop with the network's picture in it.
    patch: Picture,
    /// What the network changes, `[328, 328, 3]` R G B, in levels; zero on the crop's rim.
    change: Vec<f32>,
    /// The pixels under the rectangle.
    original: Vec<u8>,
    plan: Option<PastePlan>,
}

/// The way back from the crop into a rectangle of one size.
#[derive(Debug)]
struct PastePlan {
    resize: Bicubic,
    /// How much of the change each value of a line of the rectangle takes (three a column), 0..=1.
    columns: Vec<f32>,
    /// And each row.
    rows: Vec<f32>,
    buffers: Pool<RowBuffers>,
}

/// Memory for one row at a time.
#[derive(Debug, Default)]
struct RowBuffers {
    change: RowBuffer,
    crop: RowBuffer,
    detail_loss: Vec<f32>,
}

impl PastePlan {
    fn new(size: (usize, usize)) -> Self {
        let columns = feather(size.0, &MASK_COLUMNS);
        Self {
            resize: Bicubic::new((CROP, CROP), size),
            columns: columns.iter().flat_map(|share| [*share; 3]).collect(),
            rows: feather(size.1, &MASK_ROWS),
            buffers: Pool::default(),
        }
    }
}

/// Pixels of the crop over which the change fades in, from the masked area's edge inwards.
const FEATHER: f32 = 24.0;
/// A change of so many levels is none: the frame's own detail is kept ..
const UNCHANGED_BELOW: f32 = 2.0;
/// .. and of so many or more, it would show through and is given up.
const REPLACED_ABOVE: f32 = 12.0;

impl Paster {
    /// Repaints `rect` of `frame` from its `crop` and the network's `output`, `[3, 320, 320]`, B G R, 0..1.
    ///
    /// `weight` (0..=1) is how far the frame goes from what it was to the new mouth.
    pub fn paste(
        &mut self,
        mode: Paste,
        weight: f32,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        let size = (rect.width(), rect.height());
        let plan = match self.plan.take() {
            Some(plan) if plan.resize.is_for((CROP, CROP), size) => plan,
            _ => PastePlan::new(size),
        };
        match mode {
            Paste::Seamless => self.seamless(&plan, weight, frame, rect, crop, output),
            Paste::Reference if weight >= 1.0 => self.reference(&plan, frame, rect, crop, output),
            Paste::Reference => {
                self.original.clear();
                for row in rows_of(frame, rect) {
                    self.original.extend_from_slice(row);
                }
                self.reference(&plan, frame, rect, crop, output);
                let rows = rows_of(frame, rect).zip(self.original.chunks_exact(rect.width() * 3));
                for (row, original) in rows {
                    for (value, original) in row.iter_mut().zip(original) {
                        let original = f32::from(*original);
                        *value = (original + weight * (f32::from(*value) - original) + 0.5) as u8;
                    }
                }
            }
        }
        self.plan = Some(plan);
    }

    /// The network's change, freed of its error in colour, is added to the frame inside the masked area.
    ///
    /// Where nothing changes, the frame keeps every level and all its detail; where much does, the crop's detail goes.
    fn seamless(
        &mut self,
        plan: &PastePlan,
        weight: f32,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        self.change.resize(CROP * CROP * 3, 0.0);
        fill_change(crop, output, &mut self.change);
        ColourError::measure(&self.change).subtract_from(&mut self.change);
        let change = PixelView {
            pixels: self.change.as_slice(),
            stride: CROP * 3,
        };
        let crop = PixelView {
            pixels: crop.pixels.as_slice(),
            stride: CROP * 3,
        };
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride;
        frame.pixels[start..start + rect.height() * stride]
            .par_chunks_exact_mut(stride)
            .enumerate()
            .with_min_len(MIN_ROWS_PER_TASK)
            .for_each_init(
                || plan.buffers.take(),
                |buffers, (y, row)| {
                    let weight = weight * plan.rows[y];
                    if weight == 0.0 {
                        return;
                    }
                    let RowBuffers {
                        change: c,
                        crop: k,
                        detail_loss,
                    } = &mut **buffers;
                    let change = plan.resize.row(change, y, c);
                    let crop = plan.resize.row(crop, y, k);
                    fill_detail_loss(change, detail_loss);
                    let row = &mut row[rect.x0 as usize * 3..rect.x1 as usize * 3];
                    blend_row(row, weight, &plan.columns, change, crop, detail_loss);
                },
            );
    }

    /// The inner picture replaces the crop's, and the whole crop, resized back, replaces the rectangle.
    fn reference(
        &mut self,
        plan: &PastePlan,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        self.patch.copy_from(crop);
        let rows = self.patch.pixels[inner_rows()].par_chunks_exact_mut(CROP * 3);
        let rows = rows.enumerate().with_min_len(MIN_ROWS_PER_TASK);
        rows.for_each(|(y, row)| {
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
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride + rect.x0 as usize * 3;
        let view = PixelView {
            pixels: self.patch.pixels.as_slice(),
            stride: CROP * 3,
        };
        plan.resize.resize(view, &mut frame.pixels[start..], stride);
    }
}

/// The pixels of each row of `rect`.
fn rows_of(frame: &mut Picture, rect: Rect) -> impl Iterator<Item = &mut [u8]> {
    let rows = frame.pixels.chunks_exact_mut(frame.width * 3);
    rows.skip(rect.y0 as usize)
        .take(rect.height())
        .map(move |row| &mut row[rect.x0 as usize * 3..rect.x1 as usize * 3])
}

/// Output minus input of the inner picture, in levels, laid into the crop; NaN counts as no change.
fn fill_change(crop: &Picture, output: &[f32], change: &mut [f32]) {
    let rows = change[inner_rows()].par_chunks_exact_mut(CROP * 3);
    let rows = rows.enumerate().with_min_len(MIN_ROWS_PER_TASK);
    rows.for_each(|(y, row)| {
        let line = |plane: usize| &output[plane * PLANE + y * INNER..][..INNER];
        let (blue, green, red) = (line(0), line(1), line(2));
        let start = ((y + RIM) * CROP + RIM) * 3;
        let old = crop.pixels[start..start + INNER * 3].as_chunks::<3>().0;
        let pixels = row[RIM * 3..(RIM + INNER) * 3].as_chunks_mut::<3>().0;
        for (x, (pixel, old)) in pixels.iter_mut().zip(old).enumerate() {
            for (channel, new) in [red[x], green[x], blue[x]].into_iter().enumerate() {
                let difference = new.clamp(0.0, 1.0) * 255.0 - f32::from(old[channel]);
                pixel[channel] = if difference.is_nan() { 0.0 } else { difference };
            }
        }
    });
}

/// How much of the frame's detail goes where so much changes: 0..=1 for each value, the same for a pixel's three.
fn fill_detail_loss(change: &[f32], detail_loss: &mut Vec<f32>) {
    detail_loss.resize(change.len(), 0.0);
    let changes = change.as_chunks::<3>().0;
    for (detail_loss, change) in detail_loss.as_chunks_mut::<3>().0.iter_mut().zip(changes) {
        let most = change[0].abs().max(change[1].abs()).max(change[2].abs());
        *detail_loss =
            [smoothstep((most - UNCHANGED_BELOW) / (REPLACED_ABOVE - UNCHANGED_BELOW)); 3];
    }
}

/// Adds a row's change to the frame: `shares`, `change`, `crop` and `detail_loss` have a number for each of its values.
fn blend_row(
    row: &mut [u8],
    weight: f32,
    shares: &[f32],
    change: &[f32],
    crop: &[f32],
    detail_loss: &[f32],
) {
    let [shares, change, crop, detail_loss] =
        [shares, change, crop, detail_loss].map(|line| &line[..row.len()]);
    for (i, value) in row.iter_mut().enumerate() {
        let own = f32::from(*value);
        let detail = own - crop[i];
        let new = own + weight * shares[i] * (change[i] - detail_loss[i] * detail);
        *value = (new + 0.5) as u8;
    }
}

/// How much each of `length` columns or rows takes of a change: 0 outside the mask, 1 from [`FEATHER`] on.
fn feather(length: usize, mask: &std::ops::Range<usize>) -> Vec<f32> {
    let scale = CROP as f32 / length as f32;
    let (start, end) = ((mask.start + RIM) as f32, (mask.end + RIM) as f32);
    (0..length)
        .map(|i| {
            let at = (i as f32 + 0.5) * scale;
            smoothstep((at - start).min(end - at) / FEATHER)
        })
        .collect()
}

/// 0 to 1 with a level start and end.
fn smoothstep(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{INPUT_LEN, OUTPUT_LEN, crop, network_input};

    /// A frame with something to see in it, and a rectangle.
    fn frame() -> (Picture, Rect) {
        let mut frame = Picture::new(100, 80);
        for (i, value) in frame.pixels.iter_mut().enumerate() {
            *value = 60 + (i * 7 % 101) as u8;
        }
        let rect = Rect {
            x0: 17,
            y0: 9,
            x1: 77,
            y1: 69,
        };
        (frame, rect)
    }

    /// The generator's first three planes: the whole picture, as it came.
    fn unchanged(crop: &Picture) -> Vec<f32> {
        let mut input = vec![0.0; INPUT_LEN];
        network_input(crop, &mut input);
        input.truncate(OUTPUT_LEN);
        input
    }

    fn pasted(mode: Paste, weight: f32, output: impl Fn(Vec<f32>) -> Vec<f32>) -> Picture {
        let (frame, rect) = frame();
        let crop = crop(&frame, rect);
        let mut out = frame.clone();
        Paster::default().paste(
            mode,
            weight,
            &mut out,
            rect,
            &crop,
            &output(unchanged(&crop)),
        );
        out
    }

    #[test]
    fn what_lies_outside_the_rectangle_stays() {
        let (frame, rect) = frame();
        for (mode, edge) in [
            (Paste::Reference, 0.0),
            (Paste::Seamless, 9.0 / 328.0 * 60.0),
        ] {
            let out = pasted(mode, 1.0, |_| vec![0.5; OUTPUT_LEN]);
            for y in 0..80_u32 {
                for x in 0..100_u32 {
                    let inside = |at: u32, start: u32, end: u32| {
                        (f64::from(start) + edge..f64::from(end) - edge)
                            .contains(&(f64::from(at) + 0.5))
                    };
                    let at = (y as usize * 100 + x as usize) * 3;
                    if !inside(x, rect.x0, rect.x1) || !inside(y, rect.y0, rect.y1) {
                        assert_eq!(out.pixels[at..at + 3], frame.pixels[at..at + 3], "{mode:?}");
                    }
                }
            }
        }
        let out = pasted(Paste::Reference, 1.0, |_| vec![0.5; OUTPUT_LEN]);
        let centre = (39 * 100 + 47) * 3;
        assert_eq!(out.pixels[centre..centre + 3], [127, 127, 127]);
    }

    #[test]
    fn seamless_keeps_every_level_where_nothing_changes() {
        assert!(pasted(Paste::Seamless, 1.0, |same| same) == frame().0);
    }

    #[test]
    fn seamless_takes_an_error_in_colour_off() {
        // 6 levels too bright, and unevenly so: up to 4 more from left to right.
        let bright = |mut picture: Vec<f32>| {
            for (i, value) in picture.iter_mut().enumerate() {
                *value += (6.0 + 4.0 * (i % INNER) as f32 / 320.0) / 255.0;
            }
            picture
        };
        let (seamless, reference) = (
            pasted(Paste::Seamless, 1.0, bright),
            pasted(Paste::Reference, 1.0, bright),
        );
        let (frame, _) = frame();
        let most = |out: &Picture| {
            out.pixels
                .iter()
                .zip(&frame.pixels)
                .map(|(a, b)| a.abs_diff(*b))
                .max()
        };
        assert!(most(&seamless) <= Some(1), "{:?}", most(&seamless));
        assert!(most(&reference) >= Some(9), "{:?}", most(&reference));
    }

    #[test]
    fn seamless_lets_nothing_of_the_old_mouth_show_through() {
        // The middle becomes flat grey: no trace of the frame's texture stays in it.
        let out = pasted(Paste::Seamless, 1.0, |mut picture| {
            for plane in 0..3 {
                for y in 60..260 {
                    picture[plane * PLANE + y * INNER + 60..][..200].fill(0.05);
                }
            }
            picture
        });
        for (y, x) in [(39, 47), (35, 40), (42, 55)] {
            let at = (y * 100 + x) * 3;
            let pixel = &out.pixels[at..at + 3];
            assert!(pixel.iter().all(|v| v.abs_diff(13) <= 1), "{pixel:?}");
        }
    }

    #[test]
    fn a_weight_goes_from_the_frame_to_the_new_mouth() {
        let (frame, _) = frame();
        for mode in [Paste::Seamless, Paste::Reference] {
            let at = |weight| pasted(mode, weight, |_| vec![0.9; OUTPUT_LEN]);
            let (none, half, full) = (at(0.0), at(0.5), at(1.0));
            assert!(none == frame, "{mode:?}");
            for ((none, half), full) in none.pixels.iter().zip(&half.pixels).zip(&full.pixels) {
                let middle = f64::midpoint(f64::from(*none), f64::from(*full));
                assert!((f64::from(*half) - middle).abs() <= 1.0, "{mode:?}");
            }
        }
    }

    #[test]
    fn a_network_that_fails_to_a_nan_changes_nothing() {
        assert!(pasted(Paste::Seamless, 1.0, |_| vec![f32::NAN; OUTPUT_LEN]) == frame().0);
    }
}
