//! A background frame and its crop rectangle -> what the generator sees; the generator's picture -> the frame.
//!
//! The crop is resized to 328x328; the networks see and repaint its inner 320x320, four pixels from each edge.

use rayon::prelude::*;

use crate::bicubic::{Bicubic, Line, View};
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
    under: Vec<u8>,
    back: Option<Back>,
}

/// The way back from the crop into a rectangle of one size.
#[derive(Debug)]
struct Back {
    resize: Bicubic,
    /// How much of the change each column and row of the rectangle takes, 0..=1.
    columns: Vec<f32>,
    rows: Vec<f32>,
}

impl Back {
    fn new(size: (usize, usize)) -> Self {
        Self {
            resize: Bicubic::new((CROP, CROP), size),
            columns: feather(size.0, &MASK_COLUMNS),
            rows: feather(size.1, &MASK_ROWS),
        }
    }
}

/// Pixels of the crop over which the change fades in, from the masked area's edge inwards.
const FEATHER: f32 = 24.0;
/// A change of so many levels is none: the frame's own detail is kept ..
const SAME: f32 = 2.0;
/// .. and of so many or more, it would show through and is given up.
const OTHER: f32 = 12.0;

impl Paster {
    /// Repaints `rect` of `frame` from its `crop` and the network's `output`, `[3, 320, 320]`, B G R, 0..1.
    ///
    /// `weight` (0..=1) is how far the frame goes from what it was to the new mouth.
    pub fn paste(
        &mut self,
        how: Paste,
        weight: f32,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        let size = (rect.width(), rect.height());
        let back = match self.back.take() {
            Some(back) if back.resize.fits((CROP, CROP), size) => back,
            _ => Back::new(size),
        };
        match how {
            Paste::Seamless => self.seamless(&back, weight, frame, rect, crop, output),
            Paste::Reference if weight >= 1.0 => self.reference(&back, frame, rect, crop, output),
            Paste::Reference => {
                self.under.clear();
                for row in rows_of(frame, rect) {
                    self.under.extend_from_slice(row);
                }
                self.reference(&back, frame, rect, crop, output);
                let rows = rows_of(frame, rect).zip(self.under.chunks_exact(rect.width() * 3));
                for (row, under) in rows {
                    for (value, under) in row.iter_mut().zip(under) {
                        let under = f32::from(*under);
                        *value = (under + weight * (f32::from(*value) - under) + 0.5) as u8;
                    }
                }
            }
        }
        self.back = Some(back);
    }

    /// The network's change, freed of its error in colour, is added to the frame inside the masked area.
    ///
    /// Where nothing changes, the frame keeps every level and all its detail; where much does, the crop's detail goes.
    fn seamless(
        &mut self,
        back: &Back,
        weight: f32,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
        self.change.resize(CROP * CROP * 3, 0.0);
        take_change(crop, output, &mut self.change);
        RimError::of(&self.change).subtract_from(&mut self.change);
        let change = View {
            pixels: self.change.as_slice(),
            stride: CROP * 3,
        };
        let crop = View {
            pixels: crop.pixels.as_slice(),
            stride: CROP * 3,
        };
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride;
        frame.pixels[start..start + rect.height() * stride]
            .par_chunks_exact_mut(stride)
            .enumerate()
            .with_min_len(16)
            .for_each_init(
                Default::default,
                |(changes, crops): &mut (Line, Line), (y, row)| {
                    let weight = weight * back.rows[y];
                    if weight == 0.0 {
                        return;
                    }
                    let changes = back.resize.row(change, y, changes).chunks_exact(3);
                    let crops = back.resize.row(crop, y, crops).chunks_exact(3);
                    let pixels =
                        row[rect.x0 as usize * 3..rect.x1 as usize * 3].chunks_exact_mut(3);
                    let columns = back.columns.iter();
                    for (((pixel, change), crop), column) in
                        pixels.zip(changes).zip(crops).zip(columns)
                    {
                        let most = change[0].abs().max(change[1].abs()).max(change[2].abs());
                        let lost = smooth((most - SAME) / (OTHER - SAME));
                        for channel in 0..3 {
                            let own = f32::from(pixel[channel]);
                            let detail = own - crop[channel];
                            let new = own + weight * column * (change[channel] - lost * detail);
                            pixel[channel] = (new + 0.5) as u8;
                        }
                    }
                },
            );
    }

    /// The inner picture replaces the crop's, and the whole crop, resized back, replaces the rectangle.
    fn reference(
        &mut self,
        back: &Back,
        frame: &mut Picture,
        rect: Rect,
        crop: &Picture,
        output: &[f32],
    ) {
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
        let stride = frame.width * 3;
        let start = rect.y0 as usize * stride + rect.x0 as usize * 3;
        let view = View {
            pixels: self.patch.pixels.as_slice(),
            stride: CROP * 3,
        };
        back.resize.resize(view, &mut frame.pixels[start..], stride);
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
fn take_change(crop: &Picture, output: &[f32], change: &mut [f32]) {
    let rows = change.par_chunks_exact_mut(CROP * 3).skip(RIM).take(INNER);
    rows.enumerate().for_each(|(y, row)| {
        let line = |plane: usize| &output[plane * PLANE + y * INNER..][..INNER];
        let (blue, green, red) = (line(0), line(1), line(2));
        let start = ((y + RIM) * CROP + RIM) * 3;
        let old = crop.pixels[start..start + INNER * 3].chunks_exact(3);
        let pixels = row[RIM * 3..(RIM + INNER) * 3].chunks_exact_mut(3);
        for (x, (pixel, old)) in pixels.zip(old).enumerate() {
            for (channel, new) in [red[x], green[x], blue[x]].into_iter().enumerate() {
                let difference = new.clamp(0.0, 1.0) * 255.0 - f32::from(old[channel]);
                pixel[channel] = if difference.is_nan() { 0.0 } else { difference };
            }
        }
    });
}

/// How much each of `length` columns or rows takes of a change: 0 outside the mask, 1 from [`FEATHER`] on.
fn feather(length: usize, mask: &std::ops::Range<usize>) -> Vec<f32> {
    let scale = CROP as f32 / length as f32;
    let (start, end) = ((mask.start + RIM) as f32, (mask.end + RIM) as f32);
    (0..length)
        .map(|i| {
            let at = (i as f32 + 0.5) * scale;
            smooth((at - start).min(end - at) / FEATHER)
        })
        .collect()
}

/// 0 to 1 with a level start and end.
fn smooth(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Blocks on each side of the rim.
const RIM_BLOCKS: usize = 8;
/// A block that differs from the rim's median by more levels than this shows movement, not an error in colour.
const RIM_SPREAD: f32 = 6.0;

/// The network's error in colour: what it changes on the rim round the mask, which it sees and repaints as well.
///
/// Each side is a line of colours along the inner picture's edge, `[320]`, R G B in levels.
struct RimError {
    top: Vec<[f32; 3]>,
    bottom: Vec<[f32; 3]>,
    left: Vec<[f32; 3]>,
    right: Vec<[f32; 3]>,
}

impl RimError {
    fn of(change: &[f32]) -> Self {
        let (wide, long) = (0..INNER, INNER / RIM_BLOCKS);
        let along = |block: usize| block * long..(block + 1) * long;
        let (above, below) = (0..MASK_ROWS.start, MASK_ROWS.end..INNER);
        let (before, behind) = (0..MASK_COLUMNS.start, MASK_COLUMNS.end..INNER);
        debug_assert_eq!(wide.len() % RIM_BLOCKS, 0);
        let mut sides: [[[f32; 3]; RIM_BLOCKS]; 4] = [
            std::array::from_fn(|b| mean(change, &above, &along(b))),
            std::array::from_fn(|b| mean(change, &below, &along(b))),
            std::array::from_fn(|b| mean(change, &along(b), &before)),
            std::array::from_fn(|b| mean(change, &along(b), &behind)),
        ];
        for channel in 0..3 {
            let mut all: Vec<f32> = sides
                .as_flattened()
                .iter()
                .map(|block| block[channel])
                .collect();
            all.sort_unstable_by(f32::total_cmp);
            let median = f32::midpoint(all[all.len() / 2 - 1], all[all.len() / 2]);
            for block in sides.as_flattened_mut() {
                block[channel] = block[channel].clamp(median - RIM_SPREAD, median + RIM_SPREAD);
            }
        }
        let [top, bottom, left, right] = sides;
        let last = RIM_BLOCKS - 1;
        let corner = |a: [f32; 3], b: [f32; 3]| std::array::from_fn(|c| f32::midpoint(a[c], b[c]));
        let (top_left, top_right) = (corner(top[0], left[0]), corner(top[last], right[0]));
        let (bottom_left, bottom_right) = (
            corner(bottom[0], left[last]),
            corner(bottom[last], right[last]),
        );
        Self {
            top: line(top_left, &top, top_right),
            bottom: line(bottom_left, &bottom, bottom_right),
            left: line(top_left, &left, bottom_left),
            right: line(top_right, &right, bottom_right),
        }
    }

    /// Takes the error off the inner picture: spread from the four sides as a Coons patch (S. Coons, 1967), which is
    /// exact on the sides and flat where they are.
    fn subtract_from(&self, change: &mut [f32]) {
        let end = (INNER - 1) as f32;
        let corners = [
            self.top[0],
            self.top[INNER - 1],
            self.bottom[0],
            self.bottom[INNER - 1],
        ];
        let rows = change.par_chunks_exact_mut(CROP * 3).skip(RIM).take(INNER);
        rows.enumerate().for_each(|(y, row)| {
            let v = y as f32 / end;
            let pixels = row[RIM * 3..(RIM + INNER) * 3].chunks_exact_mut(3);
            for (x, pixel) in pixels.enumerate() {
                let u = x as f32 / end;
                for (c, value) in pixel.iter_mut().enumerate() {
                    let across = mix(self.left[y][c], self.right[y][c], u);
                    let down = mix(self.top[x][c], self.bottom[x][c], v);
                    let both = mix(
                        mix(corners[0][c], corners[1][c], u),
                        mix(corners[2][c], corners[3][c], u),
                        v,
                    );
                    *value -= across + down - both;
                }
            }
        });
    }
}

/// Mean of a part of the inner picture.
fn mean(
    change: &[f32],
    rows: &std::ops::Range<usize>,
    columns: &std::ops::Range<usize>,
) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for y in rows.clone() {
        let start = ((y + RIM) * CROP + RIM + columns.start) * 3;
        for pixel in change[start..start + columns.len() * 3].chunks_exact(3) {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
    }
    sum.map(|sum| sum / (rows.len() * columns.len()) as f32)
}

/// A line of [`INNER`] colours from corner to corner through the blocks' centres.
fn line(first: [f32; 3], blocks: &[[f32; 3]; RIM_BLOCKS], last: [f32; 3]) -> Vec<[f32; 3]> {
    let long = (INNER / RIM_BLOCKS) as f32;
    let knot = |k: usize| match k {
        0 => (0.0, first),
        k if k <= RIM_BLOCKS => ((k as f32 - 0.5) * long, blocks[k - 1]),
        _ => ((INNER - 1) as f32, last),
    };
    (0..INNER)
        .map(|i| {
            let before = (i as f32 / long + 0.5) as usize;
            let ((from, a), (to, b)) = (knot(before), knot(before + 1));
            std::array::from_fn(|c| mix(a[c], b[c], (i as f32 - from) / (to - from)))
        })
        .collect()
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
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

    fn pasted(how: Paste, weight: f32, output: impl Fn(Vec<f32>) -> Vec<f32>) -> Picture {
        let (frame, rect) = frame();
        let crop = crop(&frame, rect);
        let mut out = frame.clone();
        Paster::default().paste(
            how,
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
        for (how, edge) in [
            (Paste::Reference, 0.0),
            (Paste::Seamless, 9.0 / 328.0 * 60.0),
        ] {
            let out = pasted(how, 1.0, |_| vec![0.5; OUTPUT_LEN]);
            for y in 0..80_u32 {
                for x in 0..100_u32 {
                    let inside = |at: u32, start: u32, end: u32| {
                        (f64::from(start) + edge..f64::from(end) - edge)
                            .contains(&(f64::from(at) + 0.5))
                    };
                    let at = (y as usize * 100 + x as usize) * 3;
                    if !inside(x, rect.x0, rect.x1) || !inside(y, rect.y0, rect.y1) {
                        assert_eq!(out.pixels[at..at + 3], frame.pixels[at..at + 3], "{how:?}");
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
        for how in [Paste::Seamless, Paste::Reference] {
            let at = |weight| pasted(how, weight, |_| vec![0.9; OUTPUT_LEN]);
            let (none, half, full) = (at(0.0), at(0.5), at(1.0));
            assert!(none == frame, "{how:?}");
            for ((none, half), full) in none.pixels.iter().zip(&half.pixels).zip(&full.pixels) {
                let middle = f64::midpoint(f64::from(*none), f64::from(*full));
                assert!((f64::from(*half) - middle).abs() <= 1.0, "{how:?}");
            }
        }
    }

    #[test]
    fn a_network_that_fails_to_a_nan_changes_nothing() {
        assert!(pasted(Paste::Seamless, 1.0, |_| vec![f32::NAN; OUTPUT_LEN]) == frame().0);
    }
}
