//! What is done to the frames of a background video so that they look right in a clip, and how that is told.
//!
//! Interlaced frames are deinterlaced, pixels become square, and HDR or a wide gamut becomes BT.709. Videos that need none
//! of it are not touched.

use ff::color::{Primaries, TransferCharacteristic};
use ff::frame;
use ffmpeg_next as ff;

use super::colour_tags::ColourTags;
use super::file::VideoFile;
use super::tone_map;
use crate::error::quoted;
use crate::ffmpeg::filter;
use crate::image::Size;

/// Pixels are square if their aspect ratio is closer to 1: encoders round it.
const SQUARE_TOLERANCE: f64 = 0.01;
/// Longest side of a frame with square pixels.
const MAX_SIDE: u32 = 8192;
/// What turns interlaced frames into progressive ones, in ffmpeg's notation.
const DEINTERLACE: &str = "bwdif=mode=send_frame";
/// The smallest frame that bwdif takes.
const MIN_DEINTERLACED: Size = Size {
    width: 3,
    height: 4,
};
/// Codecs whose frames all say whether they are interlaced; for others, what the container says counts.
const FLAGGING_CODECS: [&str; 7] = [
    "h264",
    "hevc",
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "vc1",
    "prores",
];

/// Which field of an interlaced frame is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldOrder {
    /// The one with the first row.
    TopFirst,
    /// The one with the second row.
    BottomFirst,
}

impl FieldOrder {
    /// From FFmpeg's number in the codec parameters: 2 to 5 are TT, BB, TB and BT, first the field that is coded first,
    /// then the one that is shown first. None for progressive and for unknown.
    pub(super) fn from_number(number: i32) -> Option<Self> {
        match number {
            2 | 5 => Some(Self::TopFirst),
            3 | 4 => Some(Self::BottomFirst),
            _ => None,
        }
    }

    /// `top field first`, `bottom field first`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TopFirst => "top field first",
            Self::BottomFirst => "bottom field first",
        }
    }
}

/// What is done to stored frames, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Preparation {
    /// Interlaced frames become progressive.
    pub(super) deinterlace: bool,
    /// Colours become those of BT.709.
    pub(super) to_bt709: bool,
    /// Frames are scaled to this size, before they are turned upright.
    pub(super) square: Option<Size>,
}

/// How colours differ from those that a clip has.
pub(super) fn colours_to_convert(tags: ColourTags) -> Option<&'static str> {
    match (tags.transfer, tags.primaries) {
        (TransferCharacteristic::SMPTE2084, _) => Some("HDR (PQ)"),
        (TransferCharacteristic::ARIB_STD_B67, _) => Some("HDR (HLG)"),
        (_, Primaries::BT2020) => Some("BT.2020"),
        (_, Primaries::SMPTE432) => Some("Display P3"),
        _ => None,
    }
}

impl VideoFile {
    /// Whether `frame` is to be deinterlaced, and bwdif's option for its fields.
    pub(super) fn parity(&self, frame: &frame::Video) -> Option<&'static str> {
        if frame.is_interlaced() {
            return Some("auto");
        }
        if FLAGGING_CODECS.contains(&self.codec) {
            return None;
        }
        self.field_order.map(|order| match order {
            FieldOrder::TopFirst => "tff",
            FieldOrder::BottomFirst => "bff",
        })
    }

    /// Whether frames depend on their neighbours.
    pub(crate) fn is_deinterlaced(&self) -> bool {
        self.preparation.deinterlace
    }

    /// Whether the pixels are not square.
    pub(crate) fn has_oblong_pixels(&self) -> bool {
        (self.pixel_aspect - 1.0).abs() > SQUARE_TOLERANCE
    }

    /// Size of an upright frame with square pixels: the side that is too short grows. None if it would be too large.
    pub(crate) fn square_size(&self) -> Option<Size> {
        self.square_stored()
            .map(|stored| self.display_matrix.display_size(stored))
    }

    fn square_stored(&self) -> Option<Size> {
        let grown = |side: u32, by: f64| ((f64::from(side) * by / 2.0).round() * 2.0) as u32;
        let mut size = self.stored;
        if self.pixel_aspect > 1.0 {
            size.width = grown(size.width, self.pixel_aspect);
        } else {
            size.height = grown(size.height, 1.0 / self.pixel_aspect);
        }
        (size.width <= MAX_SIDE && size.height <= MAX_SIDE).then_some(size)
    }

    /// Has the frames prepared for use as a background. Returns what to tell about it.
    pub(crate) fn prepare(&mut self, interlaced: bool) -> Vec<String> {
        let (mut done, mut missing, mut filters) = (Vec::new(), Vec::new(), Vec::new());
        let stored = self.stored;
        let large_enough =
            stored.width >= MIN_DEINTERLACED.width && stored.height >= MIN_DEINTERLACED.height;
        if interlaced && large_enough {
            self.preparation.deinterlace = filter::has_filters(&[c"bwdif"]);
            if self.preparation.deinterlace {
                done.push("deinterlaced".to_owned());
            } else {
                missing.push("interlaced".to_owned());
                filters.push(DEINTERLACE.to_owned());
            }
        }
        if let Some(name) = colours_to_convert(self.tags) {
            self.preparation.to_bt709 = filter::has_filters(&tone_map::FILTERS);
            if self.preparation.to_bt709 {
                done.push(format!("colours from {name} to BT.709"));
            } else {
                missing.push(name.to_owned());
                filters.push(tone_map::command_filters(self.tags));
            }
        }
        if self.has_oblong_pixels() {
            let (size, aspect) = (self.size, self.pixel_aspect);
            self.preparation.square = self.square_stored();
            match self.square_size() {
                Some(square) => {
                    self.size = square;
                    done.push(format!(
                        "scaled from {size} to {square} (aspect ratio of the pixels {aspect:.3})"
                    ));
                }
                None => missing.push(format!(
                    "stored with pixels of aspect ratio {aspect:.3}, too large with square ones"
                )),
            }
        }
        self.told(&done, &missing, &filters)
    }

    fn told(&self, done: &[String], missing: &[String], filters: &[String]) -> Vec<String> {
        let name = self.path.display();
        let mut told = Vec::new();
        if !done.is_empty() {
            told.push(format!("`{name}` is converted: {}", done.join(", ")));
        }
        if !missing.is_empty() {
            let what = missing.join(", ");
            told.push(match filters {
                [] => format!("`{name}` is {what}, and looks distorted in the clip"),
                filters => format!(
                    "`{name}` is {what}, and this FFmpeg lacks the filters to convert it: install its libavfilter, or run {}",
                    self.command(&filters.join(","))
                ),
            });
        }
        told
    }

    /// The ffmpeg command that applies `filters`.
    fn command(&self, filters: &str) -> String {
        let stem = self.path.file_stem().unwrap_or_default();
        let out = self
            .path
            .with_file_name(format!("{}.converted.mp4", stem.to_string_lossy()));
        format!(
            "ffmpeg -i {} -vf {filters},format=yuv420p -c:v libx264 -crf 14 -c:a copy {}",
            quoted(&self.path),
            quoted(&out)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_orders_are_those_of_ffmpeg() {
        let names = |n| FieldOrder::from_number(n).map(FieldOrder::name);
        assert_eq!([0, 1, 6].map(names), [None; 3]);
        assert_eq!([2, 5].map(names), [Some("top field first"); 2]);
        assert_eq!([3, 4].map(names), [Some("bottom field first"); 2]);
    }
}
