//! The generator's output -> the finished frame.

use rayon::prelude::*;

use super::colour_error::ColourError;
use super::input::{
    BORDER, CROP, INNER, MASK_COLUMNS, MASK_ROWS, MIN_ROWS_PER_TASK, PLANE, inner_rows,
};
use crate::image::bicubic::{Bicubic, PixelView, RowBuffer};
use crate::image::pool::Pool;
use crate::image::{Picture, Rect};

/// How the generator's picture is pasted into the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Paste {
    /// only what the network may change, colour-matched and feathered, at the resolution of the frame
    Seamless,
    /// the whole crop, resized back, exactly like the reference renderer
    Reference,
}

/// Pastes network outputs into frames. Buffers and plans are used again for the next frame.
#[derive(Debug, Default)]
pub struct Paster {
    /// The crop with the generator's picture in it.
    patch: Picture,
    /// What the generator changes, `[328, 328, 3]` R G B, in levels of 255; zero on the border of the crop.
    change: Vec<f32>,
    /// The pixels of the crop rectangle before pasting.
    original: Vec<u8>,
    plan: Option<PastePlan>,
}

/// How to paste a crop into a rectangle of one size.
#[derive(Debug)]
struct PastePlan {
    resize: Bicubic,
    /// Feather weight of each value in a row of the rectangle (three per column), 0..=1.
    columns: Vec<f32>,
    /// Feather weight of each row, 0..=1.
    rows: Vec<f32>,
    buffers: Pool<RowBuffers>,
}

/// Buffers for one row.
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
            columns: columns.iter().flat_map(|weight| [*weight; 3]).collect(),
            rows: feather(size.1, &MASK_ROWS),
            buffers: Pool::default(),
        }
    }
}

/// Pixels of the crop over which the change fades in, from the edge of the masked area inwards.
const FEATHER: f32 = 24.0;
/// Up to this change, in levels of 255, all detail of the frame is kept ..
const UNCHANGED_BELOW: f32 = 2.0;
/// .. and from this change on, it is dropped, because it would show through.
const REPLACED_ABOVE: f32 = 12.0;

impl Paster {
    /// Repaints `rect` of `frame`, given its `crop` and the network `output`, `[3, 320, 320]`, B G R, 0..1.
    ///
    /// `weight` (0..=1) blends from the original frame to the new mouth.
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

    /// Adds the generator's change, without its colour error, to the frame inside the masked area.
    ///
    /// Where nothing changes, the frame keeps every level and all its detail. Where much changes, its detail is
    /// dropped.
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
        let change = crop_view(&self.change);
        let crop = crop_view(&crop.pixels);
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

    /// Replaces the inner picture of the crop, then the rectangle with the whole crop, resized back.
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
            let plane_row = |plane: usize| &output[plane * PLANE + y * INNER..][..INNER];
            let (blue, green, red) = (plane_row(0), plane_row(1), plane_row(2));
            let pixels = row[BORDER * 3..(BORDER + INNER) * 3].chunks_exact_mut(3);
            for (x, pixel) in pixels.enumerate() {
                // Truncated, as in the reference; the cast saturates.
                pixel[0] = (red[x] * 255.0) as u8;
                pixel[1] = (green[x] * 255.0) as u8;
                pixel[2] = (blue[x] * 255.0) as u8;
            }
        });
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride + rect.x0 as usize * 3;
        let view = crop_view(&self.patch.pixels);
        plan.resize.resize(view, &mut frame.pixels[start..], stride);
    }
}

/// A view of a whole crop, or of values laid out like one.
fn crop_view<T>(pixels: &[T]) -> PixelView<'_, T> {
    let stride = CROP * 3;
    PixelView { pixels, stride }
}

/// The pixels of each row of `rect`.
fn rows_of(frame: &mut Picture, rect: Rect) -> impl Iterator<Item = &mut [u8]> {
    let rows = frame.pixels.chunks_exact_mut(frame.width * 3);
    rows.skip(rect.y0 as usize)
        .take(rect.height())
        .map(move |row| &mut row[rect.x0 as usize * 3..rect.x1 as usize * 3])
}

/// Writes output minus input of the inner picture, in levels of 255, at its position in the crop. NaN counts as no
/// change.
fn fill_change(crop: &Picture, output: &[f32], change: &mut [f32]) {
    let rows = change[inner_rows()].par_chunks_exact_mut(CROP * 3);
    let rows = rows.enumerate().with_min_len(MIN_ROWS_PER_TASK);
    rows.for_each(|(y, row)| {
        let plane_row = |plane: usize| &output[plane * PLANE + y * INNER..][..INNER];
        let (blue, green, red) = (plane_row(0), plane_row(1), plane_row(2));
        let start = ((y + BORDER) * CROP + BORDER) * 3;
        let old = crop.pixels[start..start + INNER * 3].as_chunks::<3>().0;
        let pixels = row[BORDER * 3..(BORDER + INNER) * 3].as_chunks_mut::<3>().0;
        for (x, (pixel, old)) in pixels.iter_mut().zip(old).enumerate() {
            for (channel, new) in [red[x], green[x], blue[x]].into_iter().enumerate() {
                let difference = new.clamp(0.0, 1.0) * 255.0 - f32::from(old[channel]);
                pixel[channel] = if difference.is_nan() { 0.0 } else { difference };
            }
        }
    });
}

/// Writes how much of the frame's detail is dropped, given the change: 0..=1 per value, equal for all three of a pixel.
fn fill_detail_loss(change: &[f32], detail_loss: &mut Vec<f32>) {
    detail_loss.resize(change.len(), 0.0);
    let changes = change.as_chunks::<3>().0;
    for (detail_loss, change) in detail_loss.as_chunks_mut::<3>().0.iter_mut().zip(changes) {
        let largest = change[0].abs().max(change[1].abs()).max(change[2].abs());
        *detail_loss =
            [smoothstep((largest - UNCHANGED_BELOW) / (REPLACED_ABOVE - UNCHANGED_BELOW)); 3];
    }
}

/// Adds the change to a row of the frame. `feather`, `change`, `crop` and `detail_loss` have one number per value.
fn blend_row(
    row: &mut [u8],
    weight: f32,
    feather: &[f32],
    change: &[f32],
    crop: &[f32],
    detail_loss: &[f32],
) {
    let [feather, change, crop, detail_loss] =
        [feather, change, crop, detail_loss].map(|plane_row| &plane_row[..row.len()]);
    for (i, value) in row.iter_mut().enumerate() {
        let original = f32::from(*value);
        let detail = original - crop[i];
        let new = original + weight * feather[i] * (change[i] - detail_loss[i] * detail);
        *value = (new + 0.5) as u8;
    }
}

/// Feather weights of `length` columns or rows: 0 outside the mask, 1 from [`FEATHER`] pixels inside it.
fn feather(length: usize, mask: &std::ops::Range<usize>) -> Vec<f32> {
    let scale = CROP as f32 / length as f32;
    let (start, end) = ((mask.start + BORDER) as f32, (mask.end + BORDER) as f32);
    (0..length)
        .map(|i| {
            let at = (i as f32 + 0.5) * scale;
            smoothstep((at - start).min(end - at) / FEATHER)
        })
        .collect()
}

/// 0 to 1 with zero slope at both ends.
fn smoothstep(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{INPUT_LEN, OUTPUT_LEN, crop, network_input};

    /// A frame with texture, and a crop rectangle.
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

    /// The first three planes of the network input: the picture unchanged.
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
    fn pixels_outside_the_rectangle_do_not_change() {
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
    fn seamless_removes_a_colour_error() {
        // 6 levels too bright, and up to 4 more from left to right.
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
        let largest = |out: &Picture| {
            out.pixels
                .iter()
                .zip(&frame.pixels)
                .map(|(a, b)| a.abs_diff(*b))
                .max()
        };
        assert!(largest(&seamless) <= Some(1), "{:?}", largest(&seamless));
        assert!(largest(&reference) >= Some(9), "{:?}", largest(&reference));
    }

    #[test]
    fn seamless_lets_nothing_of_the_old_mouth_show_through() {
        // The middle becomes flat grey, without a trace of the frame's texture.
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
    fn a_weight_blends_from_the_frame_to_the_new_mouth() {
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
    fn nan_changes_nothing() {
        assert!(pasted(Paste::Seamless, 1.0, |_| vec![f32::NAN; OUTPUT_LEN]) == frame().0);
    }
}
