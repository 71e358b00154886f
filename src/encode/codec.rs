//! The video encoders that can be driven, what each calls its settings, and the choice among those that are present.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::Result;
use ff::codec::Id;
use ff::encoder;
use ffmpeg_next as ff;

use crate::background::FrameFormats;
use crate::error::Fault;

/// A way of compressing pictures, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// H.264: plays everywhere.
    H264,
    /// H.265: about two thirds of the size.
    H265,
    /// AV1: about half the size.
    Av1,
    /// Apple ProRes 4444: for editing; keeps the alpha.
    ProRes4444,
    /// One encoder, by FFmpeg's name.
    Encoder(String),
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => return Err("expected h264, h265, av1, prores4444 or an encoder's name".into()),
            "h264" => Self::H264,
            "h265" => Self::H265,
            "av1" => Self::Av1,
            "prores4444" => Self::ProRes4444,
            name => Self::Encoder(name.to_owned()),
        })
    }
}

/// The pixels that an encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pixels {
    /// Y U V 4:2:0, 8 bit, limited range.
    Yuv420,
    /// Y U V 4:4:4 and alpha, 10 bit, limited range.
    Yuva444,
}

/// A constant rate factor: the smaller, the better.
#[derive(Debug)]
struct Crf {
    /// What the encoder calls it.
    option: &'static str,
    range: RangeInclusive<u32>,
    /// For the encoders in the README's table at least 48 dB on the bundled presenter, for librav1e 46 dB.
    default: u32,
}

/// A trade of speed for size.
#[derive(Debug)]
struct Preset {
    /// What the encoder calls it.
    option: &'static str,
    values: PresetValues,
    /// The fastest that looks alike: x265's fast and SVT-AV1's 8 gain less than 0.5 dB on the bundled presenter.
    default: &'static str,
}

#[derive(Debug)]
enum PresetValues {
    Names(&'static [&'static str]),
    Numbers(RangeInclusive<u32>),
}

impl PresetValues {
    fn holds(&self, value: &str) -> bool {
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

/// A video encoder of FFmpeg, and how it is told what to do.
#[derive(Debug)]
pub struct VideoEncoder {
    /// FFmpeg's name for it.
    pub name: &'static str,
    pub(super) id: Id,
    pub(super) pixels: Pixels,
    crf: Option<Crf>,
    preset: Option<Preset>,
    /// What it is always told.
    fixed: &'static [(&'static str, &'static str)],
}

/// Presets of x264 and x265.
const X26X_PRESETS: PresetValues = PresetValues::Names(&[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]);
const NVENC_PRESETS: PresetValues =
    PresetValues::Names(&["p1", "p2", "p3", "p4", "p5", "p6", "p7"]);

const fn crf(option: &'static str, range: RangeInclusive<u32>, default: u32) -> Crf {
    Crf {
        option,
        range,
        default,
    }
}

const fn preset(option: &'static str, values: PresetValues, default: &'static str) -> Preset {
    Preset {
        option,
        values,
        default,
    }
}

/// NVENC; its defaults are not measured, for want of a card that has it.
const fn nvenc(name: &'static str, id: Id) -> VideoEncoder {
    VideoEncoder {
        name,
        id,
        pixels: Pixels::Yuv420,
        crf: Some(crf("cq", 1..=51, 19)),
        preset: Some(preset("preset", NVENC_PRESETS, "p5")),
        fixed: &[("rc", "vbr"), ("b", "0")],
    }
}

/// All encoders, the preferred one of each codec first.
static ENCODERS: [VideoEncoder; 11] = [
    VideoEncoder {
        name: "libx264",
        id: Id::H264,
        pixels: Pixels::Yuv420,
        crf: Some(crf("crf", 0..=51, 18)),
        preset: Some(preset("preset", X26X_PRESETS, "veryfast")),
        fixed: &[],
    },
    VideoEncoder {
        name: "libopenh264",
        id: Id::H264,
        pixels: Pixels::Yuv420,
        crf: None,
        preset: None,
        fixed: &[],
    },
    nvenc("h264_nvenc", Id::H264),
    VideoEncoder {
        name: "libx265",
        id: Id::HEVC,
        pixels: Pixels::Yuv420,
        crf: Some(crf("crf", 0..=51, 20)),
        preset: Some(preset("preset", X26X_PRESETS, "veryfast")),
        fixed: &[],
    },
    nvenc("hevc_nvenc", Id::HEVC),
    VideoEncoder {
        name: "libsvtav1",
        id: Id::AV1,
        pixels: Pixels::Yuv420,
        // FFmpeg takes 0 for "none given".
        crf: Some(crf("crf", 1..=63, 24)),
        preset: Some(preset("preset", PresetValues::Numbers(0..=13), "10")),
        fixed: &[],
    },
    VideoEncoder {
        name: "libaom-av1",
        id: Id::AV1,
        pixels: Pixels::Yuv420,
        crf: Some(crf("crf", 0..=63, 24)),
        preset: Some(preset("cpu-used", PresetValues::Numbers(0..=8), "8")),
        fixed: &[("b", "0")],
    },
    VideoEncoder {
        name: "librav1e",
        id: Id::AV1,
        pixels: Pixels::Yuv420,
        crf: Some(crf("qp", 0..=255, 80)),
        preset: Some(preset("speed", PresetValues::Numbers(0..=10), "10")),
        fixed: &[],
    },
    nvenc("av1_nvenc", Id::AV1),
    VideoEncoder {
        name: "libvpx-vp9",
        id: Id::VP9,
        pixels: Pixels::Yuv420,
        crf: Some(crf("crf", 0..=63, 24)),
        preset: Some(preset("cpu-used", PresetValues::Numbers(0..=5), "5")),
        fixed: &[("b", "0"), ("row-mt", "0")],
    },
    VideoEncoder {
        name: "prores_ks",
        id: Id::PRORES,
        pixels: Pixels::Yuva444,
        crf: None,
        preset: None,
        // QuickTime knows only its own maker's name.
        fixed: &[
            ("profile", "4444"),
            ("alpha_bits", "16"),
            ("vendor", "apl0"),
        ],
    },
];

/// Whether the FFmpeg of this machine has the encoder.
fn is_present(name: &str) -> bool {
    encoder::find_by_name(name).is_some()
}

impl VideoEncoder {
    /// The best encoder for `codec` that is present on this machine.
    pub fn find(codec: &Codec) -> Result<&'static Self> {
        crate::ffmpeg::init()?;
        Self::find_among(codec, is_present)
    }

    fn find_among(codec: &Codec, is_present: impl Fn(&str) -> bool) -> Result<&'static Self> {
        let fits = |encoder: &&Self| match codec {
            Codec::H264 => encoder.id == Id::H264,
            Codec::H265 => encoder.id == Id::HEVC,
            Codec::Av1 => encoder.id == Id::AV1,
            Codec::ProRes4444 => encoder.id == Id::PRORES,
            Codec::Encoder(name) => encoder.name == name,
        };
        let mut present = ENCODERS.iter().filter(|e| is_present(e.name));
        if let Some(encoder) = present.clone().find(fits) {
            return Ok(encoder);
        }
        let message = match codec {
            Codec::Encoder(name) if is_present(name) => {
                format!("FFmpeg's encoder `{name}` is not one that lipsync can drive")
            }
            Codec::Encoder(name) => format!("FFmpeg on this machine has no encoder `{name}`"),
            codec => {
                let wanted: Vec<&str> = ENCODERS.iter().filter(fits).map(|e| e.name).collect();
                format!(
                    "FFmpeg on this machine has no {codec} encoder ({})",
                    wanted.join(", ")
                )
            }
        };
        let names: Vec<&str> = present.by_ref().map(|e| e.name).collect();
        let there = match names.as_slice() {
            [] => "none of the video encoders is present".to_owned(),
            names => format!("these video encoders are present: {}", names.join(", ")),
        };
        Err(Fault::machine(message)
            .because(there)
            .hint("name one of them with --codec, or install a full build of FFmpeg: apt install libavcodec-extra")
            .into())
    }

    /// The encoder that FFmpeg calls `name`, present or not.
    pub fn named(name: &str) -> Option<&'static Self> {
        ENCODERS.iter().find(|encoder| encoder.name == name)
    }

    /// Its settings, checked: what is none gets the default.
    pub fn settings(
        &'static self,
        crf: Option<u32>,
        preset: Option<String>,
    ) -> Result<VideoSettings> {
        let crf = match (&self.crf, crf) {
            (None, None) => None,
            (None, Some(_)) => return Err(self.lacks("--crf", "constant rate factor")),
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
            (None, Some(_)) => return Err(self.lacks("--preset", "presets")),
            (Some(known), preset) => Some(preset.unwrap_or_else(|| known.default.to_owned())),
        };
        if let (Some(known), Some(name)) = (&self.preset, &preset)
            && !known.values.holds(name)
        {
            return Err(Fault::usage(format!(
                "--preset {name} is not known to {}: it takes {}",
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

    /// Whether transparency of the frames stays.
    pub fn keeps_alpha(&self) -> bool {
        self.pixels == Pixels::Yuva444
    }

    /// What frames for it are put together from.
    pub fn forms(&self) -> FrameFormats {
        match self.pixels {
            Pixels::Yuv420 => FrameFormats::YUV420,
            Pixels::Yuva444 => FrameFormats::RGB,
        }
    }

    fn lacks(&self, flag: &str, what: &str) -> anyhow::Error {
        Fault::usage(format!("{flag} has no meaning for {}", self.name))
            .because(format!("it has no {what}"))
            .hint(format!("leave {flag} out, or choose another --codec"))
            .into()
    }

    /// How it is told to use `threads` threads.
    fn threads(&self, threads: usize) -> (&'static str, String) {
        match self.name {
            // x265 writes its log to stderr unless told not to. By itself it chooses the frames at once by the
            // machine's cores, and they change the bytes. Its info would tell these numbers in the stream's header, which
            // the parts of a clip have in common.
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

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Av1 => "AV1",
            Self::ProRes4444 => "ProRes",
            Self::Encoder(name) => name,
        })
    }
}

/// An encoder with checked settings.
#[derive(Debug, Clone)]
pub struct VideoSettings {
    /// The encoder.
    pub encoder: &'static VideoEncoder,
    /// Its constant rate factor, if it knows such a thing.
    pub crf: Option<u32>,
    /// Its preset, if it has any.
    pub preset: Option<String>,
}

impl VideoSettings {
    /// The options by which FFmpeg tells the encoder all this.
    pub(super) fn options(&self, threads: usize) -> Vec<(&'static str, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Exit, Report};

    fn named(name: &str) -> &'static VideoEncoder {
        VideoEncoder::named(name).unwrap()
    }

    #[test]
    fn the_best_present_encoder_is_taken() {
        let h264 = |present: &[&str]| {
            VideoEncoder::find_among(&Codec::H264, |name| present.contains(&name)).map(|e| e.name)
        };
        assert_eq!(h264(&["h264_nvenc", "libx264"]).unwrap(), "libx264");
        assert_eq!(h264(&["h264_nvenc", "libopenh264"]).unwrap(), "libopenh264");
        let report = Report::of(&h264(&["libx265", "libsvtav1"]).unwrap_err());
        assert_eq!(
            report.message,
            "FFmpeg on this machine has no H.264 encoder (libx264, libopenh264, h264_nvenc)"
        );
        assert_eq!(
            report.causes,
            ["these video encoders are present: libx265, libsvtav1"]
        );
        assert_eq!(report.exit, Exit::Machine);
    }

    #[test]
    fn settings_are_checked_for_each_encoder() {
        let x264 = named("libx264").settings(None, None).unwrap();
        assert_eq!(
            (x264.crf, x264.preset.as_deref()),
            (Some(18), Some("veryfast"))
        );
        let svt = named("libsvtav1")
            .settings(Some(63), Some("13".into()))
            .unwrap();
        assert_eq!((svt.crf, svt.preset.as_deref()), (Some(63), Some("13")));
        assert!(named("libx264").settings(Some(52), None).is_err());
        assert!(
            named("libsvtav1")
                .settings(None, Some("fast".into()))
                .is_err()
        );
        assert!(
            named("libsvtav1")
                .settings(None, Some("14".into()))
                .is_err()
        );
        assert!(named("prores_ks").settings(Some(10), None).is_err());
        assert!(
            named("prores_ks")
                .settings(None, Some("fast".into()))
                .is_err()
        );
    }

    #[test]
    fn defaults_are_settings_that_the_encoder_takes() {
        for encoder in &ENCODERS {
            assert!(encoder.settings(None, None).is_ok(), "{}", encoder.name);
        }
    }
}
