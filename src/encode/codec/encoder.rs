//! One video encoder: the settings it takes, and FFmpeg's options for them.

use std::fmt;
use std::ops::RangeInclusive;

use anyhow::Result;
use ff::codec::Id;
use ffmpeg_next as ff;

use crate::background::FrameFormats;
use crate::error::Fault;

/// The pixel format that an encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encode) enum PixelFormat {
    /// Y U V 4:2:0, 8 bit, limited range.
    Yuv420,
    /// Y U V 4:4:4 and alpha, 10 bit, limited range.
    Yuva444,
}

/// A constant rate factor: lower is better.
#[derive(Debug)]
pub(super) struct Crf {
    /// The encoder's option.
    pub(super) option: &'static str,
    pub(super) range: RangeInclusive<u32>,
    /// At least 48 dB on the bundled presenter for the documented encoders, 46 dB for librav1e.
    pub(super) default: u32,
}

/// Trades speed for size.
#[derive(Debug)]
pub(super) struct Preset {
    /// The encoder's option.
    pub(super) option: &'static str,
    pub(super) values: PresetValues,
    /// The fastest without a visible loss: x265's fast and SVT-AV1's 8 gain less than 0.5 dB on the bundled presenter.
    pub(super) default: &'static str,
}

#[derive(Debug)]
pub(super) enum PresetValues {
    Names(&'static [&'static str]),
    Numbers(RangeInclusive<u32>),
}

impl PresetValues {
    fn contains(&self, value: &str) -> bool {
        match self {
            Self::Names(names) => names.contains(&value),
            Self::Numbers(range) => value.parse().is_ok_and(|n| range.contains(&n)),
        }
    }
}

impl fmt::Display for PresetValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) => f.write_str(&names.join(", ")),
            Self::Numbers(range) => write!(f, "{} to {}", range.start(), range.end()),
        }
    }
}

/// A video encoder of FFmpeg, and the options that control it.
#[derive(Debug)]
pub struct VideoEncoder {
    /// FFmpeg's name for it.
    pub name: &'static str,
    pub(in crate::encode) id: Id,
    pub(in crate::encode) pixels: PixelFormat,
    pub(super) crf: Option<Crf>,
    pub(super) preset: Option<Preset>,
    /// Options that are always set.
    pub(super) fixed: &'static [(&'static str, &'static str)],
}

impl VideoEncoder {
    /// Checks the settings and fills in the defaults.
    pub fn settings(
        &'static self,
        crf: Option<u32>,
        preset: Option<String>,
    ) -> Result<VideoSettings> {
        let crf = match (&self.crf, crf) {
            (None, None) => None,
            (None, Some(_)) => return Err(self.not_applicable("--crf", "constant rate factor")),
            (Some(known), crf) => Some(crf.unwrap_or(known.default)),
        };
        if let (Some(known), Some(n)) = (&self.crf, crf)
            && !known.range.contains(&n)
        {
            let (from, to) = (known.range.start(), known.range.end());
            return Err(Fault::usage(format!(
                "--crf {n} is out of range for {}: it takes {from} (best) to {to} (smallest)",
                self.name
            ))
            .hint(format!("its default is {}", known.default))
            .into());
        }
        let preset = match (&self.preset, preset) {
            (None, None) => None,
            (None, Some(_)) => return Err(self.not_applicable("--preset", "presets")),
            (Some(known), preset) => Some(preset.unwrap_or_else(|| known.default.to_owned())),
        };
        if let (Some(known), Some(name)) = (&self.preset, &preset)
            && !known.values.contains(name)
        {
            return Err(Fault::usage(format!(
                "--preset {name} is not valid for {}: it takes {}",
                self.name, known.values
            ))
            .hint(format!("its default is {}", known.default))
            .into());
        }
        Ok(VideoSettings {
            encoder: self,
            crf,
            preset,
        })
    }

    /// Whether it encodes the frames' alpha.
    pub fn keeps_alpha(&self) -> bool {
        self.pixels == PixelFormat::Yuva444
    }

    /// The formats in which it takes backgrounds.
    pub fn forms(&self) -> FrameFormats {
        match self.pixels {
            PixelFormat::Yuv420 => FrameFormats::YUV420,
            PixelFormat::Yuva444 => FrameFormats::RGB,
        }
    }

    fn not_applicable(&self, flag: &str, what: &str) -> anyhow::Error {
        Fault::usage(format!("{flag} does not apply to {}", self.name))
            .because(format!("it has no {what}"))
            .hint(format!("leave {flag} out, or choose another --codec"))
            .into()
    }

    /// The option that sets its number of threads.
    fn threads(&self, threads: usize) -> (&'static str, String) {
        match self.name {
            // By default, x265 logs to stderr, and derives its frame threads from the machine's cores, which changes the
            // bytes. `info` would write these numbers into the stream header, which the parts of a clip share.
            "libx265" => (
                "x265-params",
                format!(
                    "log-level=none:info=0:pools={threads}:frame-threads={}",
                    threads.div_ceil(4).min(4)
                ),
            ),
            "libsvtav1" => ("svtav1-params", format!("lp={threads}")),
            _ => ("threads", threads.to_string()),
        }
    }
}

/// An encoder with checked settings.
#[derive(Debug, Clone)]
pub struct VideoSettings {
    /// The encoder.
    pub encoder: &'static VideoEncoder,
    /// Its constant rate factor, if it has one.
    pub crf: Option<u32>,
    /// Its preset, if it has presets.
    pub preset: Option<String>,
}

impl VideoSettings {
    /// FFmpeg's options for these settings.
    pub(in crate::encode) fn options(&self, threads: usize) -> Vec<(&'static str, String)> {
        let encoder = self.encoder;
        let fixed = encoder
            .fixed
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()));
        let mut options: Vec<_> = fixed.chain([encoder.threads(threads)]).collect();
        if let (Some(known), Some(crf)) = (&encoder.crf, self.crf) {
            options.push((known.option, crf.to_string()));
        }
        if let (Some(known), Some(preset)) = (&encoder.preset, &self.preset) {
            options.push((known.option, preset.clone()));
        }
        options
    }
}
