//! One crop rectangle per background.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::crop_rects::{self, CropRects, RawRect};
use crate::error::Fault;
use crate::image::{Rect, Size};

/// Reads the crop rectangles of `path` from the file `named`, or else from the file that `find` returns.
pub(super) fn read_rects(
    path: &Path,
    named: Option<&Path>,
    find: impl Fn() -> Option<PathBuf>,
) -> Result<CropRects> {
    let source = named.map(Path::to_owned).or_else(find).ok_or_else(|| {
        let fault = Fault::failed(format!("background `{}` has no crop rectangles", path.display()));
        let fault = if path.is_dir() {
            fault.because("there is no crop_rects.json, crop_rectangles.json or landmarks/ in it or next to it")
        } else {
            let sidecar = crop_rects::sidecar_name(path);
            fault.because(format!(
                "there is no {}, crop_rects.json, crop_rectangles.json or landmarks/ next to it",
                sidecar.to_string_lossy()
            ))
        };
        fault.hint(format!("find the face with `lipsync prepare '{}' -o DIR`, and use DIR as background; or name crop rectangles with --crop-rects", path.display()))
    })?;
    crop_rects::read(&source)
}

/// The first `need` rectangles, for as many frames, of which the first has the number `first`. Warns if the rectangles
/// are numbered differently.
pub(super) fn pair_in_order(
    first: u64,
    need: usize,
    rects: &CropRects,
    warnings: &mut Vec<String>,
) -> Result<Vec<RawRect>> {
    let have = rects.rects.len();
    let source = rects.source.display();
    if have < need {
        return Err(Fault::failed(format!(
            "`{source}` has too few crop rectangles: {have} for {need} background frames"
        ))
        .hint("each frame needs a crop rectangle")
        .into());
    }
    if have > need {
        warnings.push(format!("`{source}` has more crop rectangles ({have}) than there are background frames ({need}): the last {} are not used", have - need));
    }
    let rect = rects.rects[0].0;
    if rects.numbered && first != rect {
        warnings.push(format!(
            "background frames are numbered from {first}, crop rectangles in `{source}` from {rect}: they are paired in order"
        ));
    }
    Ok(rects
        .rects
        .iter()
        .take(need)
        .map(|(_, rect)| *rect)
        .collect())
}

/// The crop rectangle of frame `number`, if it is not empty and lies inside the picture `path`, which has `size`.
pub(super) fn check_rect(
    raw: RawRect,
    number: u64,
    path: &Path,
    size: Size,
    rects: &CropRects,
) -> Result<Rect> {
    let [x0, y0, x1, y1] = raw;
    Ok(inside(raw, size).ok_or_else(|| {
        Fault::failed(format!(
            "crop rectangle [{x0}, {y0}, {x1}, {y1}] of frame {number} is empty or not inside the frame"
        ))
        .because(format!(
            "`{}` is {size}; the rectangle comes from `{}`",
            path.display(),
            rects.source.display()
        ))
        .hint("rectangles are [x0, y0, x1, y1] in pixels with 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height")
    })?)
}

/// The rectangle, if it is not empty and lies inside a picture of `size`.
pub(crate) fn inside([x0, y0, x1, y1]: RawRect, size: Size) -> Option<Rect> {
    let fits = 0 <= x0 && x0 < x1 && x1 <= i64::from(size.width);
    let fits = fits && 0 <= y0 && y0 < y1 && y1 <= i64::from(size.height);
    fits.then_some(Rect {
        x0: x0 as u32,
        y0: y0 as u32,
        x1: x1 as u32,
        y1: y1 as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_numbers_are_a_warning() {
        let rects = CropRects {
            source: "landmarks".into(),
            rects: (0..3).map(|n| (n, [n as i64, 0, 9, 9])).collect(),
            numbered: true,
        };
        let mut warnings = Vec::new();
        let paired = pair_in_order(1, 3, &rects, &mut warnings).unwrap();
        assert_eq!(paired[0], [0, 0, 9, 9]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}
