//! Contact sheets: frames side by side with their times, and the crops that the generator repaints.

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::canvas::{Area, Canvas, MARGIN, WIDTH};
use super::page::Key;
use super::palette::{BLUE, GRID, INK, MASK, PAPER};
use super::text::TextStyle;
use crate::face::{BORDER, CROP, MASK_COLUMNS, MASK_ROWS};
use crate::image::{Picture, Rect};
use crate::timeline::FrameIndex;

/// A frame of a finished clip.
#[derive(Debug, Clone)]
pub(crate) struct SheetFrame {
    /// The frame as composited.
    pub frame: Picture,
    /// The crop rectangle in it.
    pub rect: Rect,
    /// Its number in the clip.
    pub index: FrameIndex,
    /// When it is shown.
    pub seconds: f64,
}

/// What is drawn over a crop, for the legend.
pub(crate) const CROP_LEGEND: [Key<'static>; 2] = [
    (BLUE, "crop rectangle"),
    (MASK, "masked: drawn by the generator"),
];

/// A contact sheet: each frame with its time, and below it the crop, enlarged.
pub(crate) fn contact_sheet(frames: &[SheetFrame], title: &str, subtitle: &str) -> RgbImage {
    let mut canvas = Canvas::new(title, subtitle);
    let heading = format!("{} frames, and the crop of each, enlarged", frames.len());
    canvas.heading(&heading, &CROP_LEGEND);
    let cells: Vec<Cell> = frames
        .iter()
        .map(|frame| Cell {
            picture: to_image(&frame.frame),
            rect: Some(frame.rect),
            masked: true,
            label: time_label(frame.seconds, frame.index.0),
        })
        .collect();
    grid(&mut canvas, &cells, 6, true);
    canvas.finish()
}

/// The label of a frame that is shown at `seconds`.
pub(crate) fn time_label(seconds: f64, frame: impl std::fmt::Display) -> String {
    format!("{seconds:.2} s · frame {frame}")
}

/// A picture of a grid, with a rectangle in it and a label over it.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) picture: RgbImage,
    pub(crate) rect: Option<Rect>,
    /// Whether the rectangle is a crop, in which the mask lies.
    pub(crate) masked: bool,
    pub(crate) label: String,
}

/// Draws `cells`, `columns` in a row; with `enlarge`, the content of each rectangle is shown enlarged below its picture.
pub(crate) fn grid(canvas: &mut Canvas, cells: &[Cell], columns: usize, enlarge: bool) {
    const GAP: i32 = 8;
    let width = (WIDTH - 2 * MARGIN - GAP * (columns as i32 - 1)) / columns as i32;
    for row in cells.chunks(columns) {
        let mut lowest = 0;
        for (i, cell) in row.iter().enumerate() {
            let x = MARGIN + i as i32 * (width + GAP);
            let label = TextStyle::Small.fit(&cell.label, width);
            canvas.text(x, canvas.y, TextStyle::Small, INK, &label);
            let top = canvas.y + TextStyle::Small.line() + 2;
            let mut bottom = top + frame(canvas, x, top, width, cell, cell.masked && !enlarge);
            if let (true, Some(rect)) = (enlarge, cell.rect) {
                let rows = width * rect.height() as i32 / rect.width().max(1) as i32;
                let area = Area::new(x, bottom + 4, width, rows.clamp(1, 2 * width));
                enlarged(canvas, area, cell, rect);
                bottom = area.y + area.height;
            }
            lowest = lowest.max(bottom);
        }
        canvas.y = lowest + GAP + 4;
    }
}

/// One picture, `width` pixels wide, with its rectangle, and with the masked area `tinted`. Returns its height.
fn frame(canvas: &mut Canvas, x: i32, y: i32, width: i32, cell: &Cell, tinted: bool) -> i32 {
    let scale = f64::from(width) / f64::from(cell.picture.width().max(1));
    let height = (f64::from(cell.picture.height()) * scale).round().max(1.0) as i32;
    let small = imageops::resize(
        &cell.picture,
        width as u32,
        height as u32,
        FilterType::Triangle,
    );
    canvas.picture(x, y, &small);
    if let Some(rect) = cell.rect {
        let at = |v: u32| (f64::from(v) * scale).round() as i32;
        let area = Area::new(
            x + at(rect.x0),
            y + at(rect.y0),
            at(rect.x1 - rect.x0),
            at(rect.y1 - rect.y0),
        );
        if tinted {
            canvas.tint(masked(area), MASK, 0.2);
        }
        // A thin bright line around it, for dark pictures.
        let around = Area::new(area.x - 1, area.y - 1, area.width + 2, area.height + 2);
        canvas.outline(around, PAPER, 1);
        canvas.outline(area, BLUE, 2);
    }
    height
}

/// The rectangle's content in `area`, and the outline of the masked area if it is a crop.
fn enlarged(canvas: &mut Canvas, area: Area, cell: &Cell, rect: Rect) {
    let content = imageops::crop_imm(
        &cell.picture,
        rect.x0,
        rect.y0,
        rect.width() as u32,
        rect.height() as u32,
    );
    let content = imageops::resize(
        &content.to_image(),
        area.width as u32,
        area.height as u32,
        FilterType::CatmullRom,
    );
    canvas.picture(area.x, area.y, &content);
    canvas.outline(area, BLUE, 2);
    if cell.masked {
        canvas.dashed(masked(area), MASK);
    }
}

/// The masked area of a crop that fills `area`.
fn masked(area: Area) -> Area {
    let along = |start: i32, length: i32, at: usize| {
        start + (f64::from(length) * (BORDER + at) as f64 / CROP as f64).round() as i32
    };
    let x = along(area.x, area.width, MASK_COLUMNS.start);
    let y = along(area.y, area.height, MASK_ROWS.start);
    Area::new(
        x,
        y,
        along(area.x, area.width, MASK_COLUMNS.end) - x,
        along(area.y, area.height, MASK_ROWS.end) - y,
    )
}

/// The picture as RGB; where it is transparent, it is grey.
pub(crate) fn to_image(picture: &Picture) -> RgbImage {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut image = RgbImage::from_raw(width, height, picture.pixels.clone()).unwrap_or_default();
    if let Some(alpha) = &picture.alpha {
        for (pixel, alpha) in image.pixels_mut().zip(alpha) {
            for (value, behind) in pixel.0.iter_mut().zip(GRID) {
                let share = u32::from(*alpha);
                let mixed = u32::from(*value) * share + u32::from(behind) * (255 - share);
                *value = (mixed / 255) as u8;
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_lies_where_the_contract_says() {
        let side = CROP as i32;
        assert_eq!(
            masked(Area::new(0, 0, side, side)),
            Area::new(9, 9, 310, 305)
        );
    }

    #[test]
    fn a_sheet_shows_every_frame() {
        let frames: Vec<SheetFrame> = (0..12)
            .map(|i| SheetFrame {
                frame: Picture {
                    pixels: vec![20 * i as u8; 64 * 36 * 3],
                    ..Picture::new(64, 36)
                },
                rect: Rect {
                    x0: 20,
                    y0: 8,
                    x1: 40,
                    y1: 28,
                },
                index: FrameIndex(i),
                seconds: i as f64 / 25.0,
            })
            .collect();
        let sheet = contact_sheet(&frames, "a clip", "");
        for i in 0..12_u8 {
            let tone = [20 * i; 3];
            assert!(
                sheet.pixels().filter(|p| p.0 == tone).count() > 10_000,
                "{i}"
            );
        }
    }
}
