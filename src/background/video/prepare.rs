//! Decides what is done to the frames of a background video so that they look right in a clip, and words it.
//!
//! Interlaced frames are deinterlaced, pixels become square, and HDR or a wide gamut becomes BT.709. Videos that need none
//! of it are not touched.

use ff::color::{Primaries, TransferCharacteristic};
use ff::frame;
use ffmpeg_next as ff;

use super::colour_tags::ColourTags;
use super::file::VideoFile;
use super::preparation::FieldOrder;
use super::tone_map;
use crate::error::quoted;
use crate::ffmpeg::filter;
use crate::image::Size;

/// Pixels are square if their aspect ratio is closer to 1: encoders round it.
const SQUARE_TOLERANCE: f64 = 0.01;
/// Longest side of a frame with square pixels.
const MAX_SIDE: u32 = 8192;
/// A video that ends earlier than stated by more than this may be truncated.
const MISSING_SECONDS: f64 = 1.0;
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

/// What cannot be done here, and the filters that would do it.
#[derive(Default)]
struct Missing {
    what: Vec<String>,
    filters: Vec<String>,
}

impl Missing {
    fn add(&mut self, what: String, filters: Option<String>) {
        self.what.push(what);
        self.filters.extend(filters);
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(parts: &[String]) -> String {
    match parts {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        parts => parts.concat(),
    }
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

    /// Says which of several video streams is used.
    pub(crate) fn other_streams(&self) -> Option<String> {
        (self.streams > 1).then(|| {
            format!(
                "`{}` has {} video streams: stream {} ({}, {}) is used",
                self.path.display(),
                self.streams,
                self.stream,
                self.codec,
                self.stored
            )
        })
    }

    /// Says that a video whose frames take `duration` seconds may lack its end.
    pub(crate) fn missing_end(&self, duration: f64) -> Option<String> {
        // The length of a file with audio may be that of the audio.
        let stated = self.seconds.filter(|_| !self.has_audio);
        let stated = stated.filter(|stated| stated - duration > MISSING_SECONDS)?;
        Some(format!(
            "`{}` ends after {duration:.2} s, but its header says {stated:.2} s: it may be truncated",
            self.path.display()
        ))
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
        let mut done = Vec::new();
        let mut missing = Missing::default();
        self.deinterlace(interlaced, &mut done, &mut missing);
        self.make_square(&mut done, &mut missing);
        self.convert_colours(&mut done, &mut missing);
        let mut told = Vec::new();
        let name = self.path.display();
        if !done.is_empty() {
            let done = list(&done);
            told.push(format!("as a background, `{name}` is {done}"));
        }
        if !missing.what.is_empty() {
            let what = list(&missing.what);
            told.push(match missing.filters.as_slice() {
                [] => format!("`{name}` is {what}: it looks distorted in the clip"),
                filters => format!(
                    "`{name}` is {what}, which needs FFmpeg's libavfilter: install it, or convert the file: {}",
                    self.command(&filters.join(","))
                ),
            });
        }
        told
    }

    fn deinterlace(&mut self, interlaced: bool, done: &mut Vec<String>, missing: &mut Missing) {
        let large_enough = self.stored.width >= MIN_DEINTERLACED.width
            && self.stored.height >= MIN_DEINTERLACED.height;
        if !interlaced || !large_enough {
            return;
        }
        self.preparation.deinterlace = filter::has_filters(&[c"bwdif"]);
        if self.preparation.deinterlace {
            done.push("deinterlaced".into());
        } else {
            missing.add("interlaced".into(), Some(DEINTERLACE.into()));
        }
    }

    fn make_square(&mut self, done: &mut Vec<String>, missing: &mut Missing) {
        if !self.has_oblong_pixels() {
            return;
        }
        let (size, aspect) = (self.size, self.pixel_aspect);
        self.preparation.square = self.square_stored();
        if let Some(square) = self.square_size() {
            self.size = square;
            done.push(format!(
                "scaled from {size} to {square} (its pixels have an aspect ratio of {aspect:.3})"
            ));
        } else {
            let what =
                format!("too large with square pixels (they have an aspect ratio of {aspect:.3})");
            missing.add(what, None);
        }
    }

    fn convert_colours(&mut self, done: &mut Vec<String>, missing: &mut Missing) {
        let Some(name) = colours_to_convert(self.tags) else {
            return;
        };
        self.preparation.to_bt709 = filter::has_filters(&tone_map::FILTERS);
        if self.preparation.to_bt709 {
            done.push(format!("converted from {name} to BT.709"));
        } else {
            let filters = tone_map::command_filters(self.tags);
            missing.add(format!("{name} video"), Some(filters));
        }
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
