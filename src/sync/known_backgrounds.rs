//! The backgrounds with which a clip was rendered: which one a frame shows, and where its mouth is.

use std::path::Path;

use anyhow::Result;

use super::grid::{luma, rect_cells, whole_cells, whole_grid};
use crate::background::Backgrounds;
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::image::{Rect, Size};
use crate::timeline::FrameRate;

/// Thumbnails of all backgrounds. The background of a frame is recognised by what surrounds the mouth, so the order and
/// the start frame of the render need not be known.
#[derive(Debug)]
pub(crate) struct KnownBackgrounds {
    backgrounds: Vec<Thumbnail>,
}

/// A background, reduced to its cells.
#[derive(Debug)]
struct Thumbnail {
    /// Mean brightness of each cell of the picture, 0..255.
    cells: Vec<f32>,
    /// Whether each cell lies outside the crop rectangle.
    outside: Vec<bool>,
    /// Mean brightness of each cell of the crop rectangle.
    rect_cells: Vec<f32>,
    rect: Rect,
}

impl KnownBackgrounds {
    /// Reads all backgrounds in `path`, a folder, picture or video, for a clip with frames of `size`.
    pub(crate) fn of(
        path: &Path,
        crop_rects: Option<&Path>,
        size: Size,
        cancel: &Cancel,
    ) -> Result<Self> {
        let backgrounds = Backgrounds::open(path, crop_rects, FrameRate::TRAINED, false)?;
        if backgrounds.size() != size {
            return Err(Fault::failed(format!(
                "background `{}` is {}, but the clip is {size}",
                path.display(),
                backgrounds.size()
            ))
            .hint("name the background that the clip was rendered with")
            .into());
        }
        let thumbnail = |picture: &_, rect| {
            let mut light = Vec::new();
            luma(picture, &mut light);
            Thumbnail {
                cells: whole_cells(&light, size),
                outside: outside(rect, size),
                rect_cells: rect_cells(&light, size, rect),
                rect,
            }
        };
        Ok(Self {
            backgrounds: backgrounds.map_frames(cancel, thumbnail)?,
        })
    }

    /// The background that is most similar to a frame outside its crop rectangle, and the mean difference in levels of
    /// 255.
    pub(super) fn closest(&self, cells: &[f32]) -> (usize, f32) {
        let distance = |thumbnail: &Thumbnail| {
            let triples = thumbnail.cells.iter().zip(cells).zip(&thumbnail.outside);
            let outside = triples.filter(|(_, outside)| **outside);
            let (sum, count) = outside.fold((0.0, 0_u32), |(sum, count), ((a, b), _)| {
                (sum + (a - b).abs(), count + 1)
            });
            sum / count.max(1) as f32
        };
        let all = self.backgrounds.iter().map(distance).enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    }

    /// The crop rectangle of a background.
    pub(super) fn rect(&self, background: usize) -> Rect {
        self.backgrounds[background].rect
    }

    /// The brightness of a background in its crop rectangle.
    pub(super) fn rect_cells(&self, background: usize) -> &[f32] {
        &self.backgrounds[background].rect_cells
    }
}

/// Which cells of a picture of `size` do not touch `rect`.
fn outside(rect: Rect, size: Size) -> Vec<bool> {
    let (across, down) = whole_grid(size);
    let is_apart = |cell: usize, cells: usize, pixels: u32, from: u32, to: u32| {
        let (start, end) = (
            cell * pixels as usize / cells,
            (cell + 1) * pixels as usize / cells,
        );
        end < from as usize || start >= to as usize
    };
    let cells = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
    let outside = cells.map(|(x, y)| {
        is_apart(x, across, size.width, rect.x0, rect.x1)
            || is_apart(y, down, size.height, rect.y0, rect.y1)
    });
    outside.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A background of uniform brightness, with the mouth in the middle.
    fn thumbnail(light: f32, size: Size, rect: Rect) -> Thumbnail {
        let (across, down) = whole_grid(size);
        Thumbnail {
            cells: vec![light; across * down],
            outside: outside(rect, size),
            rect_cells: Vec::new(),
            rect,
        }
    }

    #[test]
    fn a_frame_is_recognised_by_what_surrounds_its_mouth() {
        let size = Size {
            width: 128,
            height: 128,
        };
        let rect = Rect {
            x0: 32,
            y0: 32,
            x1: 96,
            y1: 96,
        };
        let known_backgrounds = KnownBackgrounds {
            backgrounds: vec![thumbnail(10.0, size, rect), thumbnail(20.0, size, rect)],
        };
        // The mouth is as bright as the first background, everything around it as the second.
        let outside = outside(rect, size);
        let frame: Vec<f32> = outside
            .iter()
            .map(|outside| if *outside { 19.0 } else { 10.0 })
            .collect();
        assert_eq!(known_backgrounds.closest(&frame), (1, 1.0));
        assert_eq!(outside.iter().filter(|o| !**o).count(), 33 * 33);
    }
}
