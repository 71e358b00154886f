//! The brightness of a picture in a coarse grid of cells.

use crate::image::{Picture, Rect, Size};

/// Cells across a picture: a mouth covers several, whatever the size of the picture.
const COLUMNS: usize = 64;
/// Cells across and down a crop rectangle.
pub(super) const RECT_CELLS: usize = 20;

/// Cells across and down a whole picture.
pub(super) fn whole_grid(size: Size) -> (usize, usize) {
    let down = COLUMNS * size.height as usize / size.width.max(1) as usize;
    (COLUMNS, down.clamp(1, 2 * COLUMNS))
}

/// The cells of a whole picture.
pub(super) fn whole_cells(luma: &[u8], size: Size) -> Vec<f32> {
    cell_means(luma, size, whole_grid(size), whole_rect(size))
}

/// The cells of a crop rectangle.
pub(super) fn rect_cells(luma: &[u8], size: Size, rect: Rect) -> Vec<f32> {
    cell_means(luma, size, (RECT_CELLS, RECT_CELLS), rect)
}

/// A rectangle that covers a picture of `size`.
pub(super) fn whole_rect(size: Size) -> Rect {
    Rect {
        x0: 0,
        y0: 0,
        x1: size.width,
        y1: size.height,
    }
}

/// Brightness of each pixel, BT.709, full range.
pub(crate) fn luma(picture: &Picture, out: &mut Vec<u8>) {
    // 0.2126, 0.7152 and 0.0722 of 65536.
    let light = |p: &[u8]| {
        let sum = 13_933 * u32::from(p[0]) + 46_871 * u32::from(p[1]) + 4_732 * u32::from(p[2]);
        ((sum + (1 << 15)) >> 16) as u8
    };
    out.clear();
    out.extend(picture.pixels.chunks_exact(3).map(light));
}

/// Mean brightness of each cell of `area`, 0..255, row by row.
pub(super) fn cell_means(
    luma: &[u8],
    size: Size,
    (across, down): (usize, usize),
    area: Rect,
) -> Vec<f32> {
    let mut sums = vec![(0_u32, 0_u32); across * down];
    let rows = luma.chunks_exact(size.width as usize);
    let rows = rows.skip(area.y0 as usize).take(area.height());
    for (y, row) in rows.enumerate() {
        let row_cells = y * down / area.height() * across;
        let pixels = &row[area.x0 as usize..area.x1 as usize];
        for (cell, (sum, count)) in sums[row_cells..row_cells + across].iter_mut().enumerate() {
            // The pixels x with x * across / width == cell.
            let start = (cell * area.width()).div_ceil(across);
            let end = ((cell + 1) * area.width()).div_ceil(across);
            *sum += pixels[start..end]
                .iter()
                .map(|v| u32::from(*v))
                .sum::<u32>();
            *count += (end - start) as u32;
        }
    }
    let means = sums
        .iter()
        .map(|(sum, count)| *sum as f32 / (*count).max(1) as f32);
    means.collect()
}
