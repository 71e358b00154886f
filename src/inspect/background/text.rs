//! The facts about a background folder and what is wrong with it, in words.

use super::super::Row;
use super::crop_rects::CropRectInfo;
use super::{BackgroundInfo, counted, listed};

impl BackgroundInfo {
    pub(in crate::inspect) fn rows(&self) -> Vec<Row> {
        let frames = format!(
            "{}, {}x{}, numbered {} to {}",
            self.format_words(),
            self.width,
            self.height,
            self.first,
            self.last
        );
        let seam = match self.loop_seam {
            Some(seam) => format!("last to first frame: {seam:.1} times the median change"),
            None => "first and last frame cannot be compared".into(),
        };
        let rects = match &self.rectangles {
            Some(rects) => format!(
                "{} from `{}`, sides {} px, moving {} px horizontally, {} px vertically",
                rects.count,
                rects.source,
                range_words(rects.min_side, rects.max_side),
                rects.travel_x,
                rects.travel_y
            ),
            None => "none".into(),
        };
        vec![
            ("frames", frames),
            (
                "duration",
                format!("{:.2} s at 25 fps", self.frames as f64 / 25.0),
            ),
            ("loop", seam),
            ("crop rectangles", rects),
        ]
    }

    /// `150 JPEG`, `24 (20 JPEG, 4 PNG)`.
    fn format_words(&self) -> String {
        let formats = self.formats.iter();
        let formats: Vec<String> = formats.map(|(format, n)| format!("{n} {format}")).collect();
        match formats.as_slice() {
            [only] => only.clone(),
            several => format!("{} ({})", self.frames, several.join(", ")),
        }
    }

    pub(super) fn add_warnings(&self, warnings: &mut Vec<String>) {
        let size = format!("{}x{}", self.width, self.height);
        for (numbers, one, many) in [
            (
                &self.missing,
                "is missing (a gap in the numbers)",
                "are missing (gaps in the numbers)",
            ),
            (&self.doubled_numbers, "exists twice", "exist twice"),
            (
                &self.damaged,
                "is damaged and cannot be decoded",
                "are damaged and cannot be decoded",
            ),
            (
                &self.odd_sized,
                &format!("is not {size} like the others"),
                &format!("are not {size} like the others"),
            ),
            (
                &self.identical,
                "is identical to the previous one",
                "are identical to the previous one",
            ),
            (
                &self.nearly_identical,
                "hardly differs from the previous one",
                "hardly differ from the previous one",
            ),
            (&self.blurred, "is blurred", "are blurred"),
            (
                &self.cuts,
                "differs abruptly from the previous one (a cut)",
                "differ abruptly from the previous one (cuts)",
            ),
        ] {
            warnings.extend(frames_warning(numbers, one, many));
        }
        if let Some(rects) = &self.rectangles {
            self.add_rect_warnings(rects, warnings);
        }
        if !self.unnumbered.is_empty() {
            warnings.push(format!(
                "pictures without a number: {}",
                listed(self.unnumbered.iter().map(|name| format!("`{name}`")))
            ));
        }
    }

    fn add_rect_warnings(&self, rects: &CropRectInfo, warnings: &mut Vec<String>) {
        for (numbers, one, many) in [
            (
                &rects.without,
                "has no crop rectangle",
                "have no crop rectangle",
            ),
            (
                &rects.outside,
                "has a crop rectangle that is empty or not inside the picture",
                "have crop rectangles that are empty or not inside the picture",
            ),
        ] {
            warnings.extend(frames_warning(numbers, one, many));
        }
        if !rects.jumps.is_empty() {
            let jumps = rects.jumps.iter();
            let jumps = jumps.map(|j| format!("{} -> {} by {} px", j.from, j.to, j.pixels));
            warnings.push(format!(
                "the crop rectangle jumps by more than {} px: frames {}",
                rects.jump_limit,
                listed(jumps)
            ));
        }
        if rects.count as u64 > self.last - self.first + 1 {
            warnings.push(format!(
                "there are {} crop rectangles for {}",
                rects.count,
                counted(self.frames, "frame")
            ));
        }
    }
}

/// `60`, `58 to 62`.
fn range_words(min: u32, max: u32) -> String {
    if min == max {
        min.to_string()
    } else {
        format!("{min} to {max}")
    }
}

/// `frame 7 is blurred`, `2 frames are blurred: 7, 9`; none for no numbers.
fn frames_warning(numbers: &[u64], one: &str, many: &str) -> Option<String> {
    let list = listed(numbers.iter().map(ToString::to_string));
    match numbers.len() {
        0 => None,
        1 => Some(format!("frame {list} {one}")),
        n => Some(format!("{n} frames {many}: {list}")),
    }
}
