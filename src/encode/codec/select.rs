//! The codec that was asked for -> the best encoder that is present.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use ff::codec::Id;
use ff::encoder;
use ffmpeg_next as ff;

use super::encoder::VideoEncoder;
use super::table::ENCODERS;
use crate::error::Fault;

/// A video codec, as `--codec` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// H.264: plays everywhere.
    H264,
    /// H.265: about two thirds of the size.
    H265,
    /// AV1: about half the size.
    Av1,
    /// Apple ProRes 4444: for editing; with alpha.
    ProRes4444,
    /// A certain encoder, by FFmpeg's name.
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

/// Whether this machine's FFmpeg has the encoder.
fn is_present(name: &str) -> bool {
    encoder::find_by_name(name).is_some()
}

impl VideoEncoder {
    /// The preferred encoder for `codec` among those that this machine's FFmpeg has.
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
                format!("FFmpeg's encoder `{name}` is not one that lipsync supports")
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
        let available = match names.as_slice() {
            [] => "it has none of the supported video encoders".to_owned(),
            names => format!("these video encoders are present: {}", names.join(", ")),
        };
        Err(Fault::machine(message)
            .because(available)
            .hint("name one of them with --codec, or install a full build of FFmpeg: apt install libavcodec-extra")
            .into())
    }

    /// The encoder with FFmpeg's name `name`, present or not.
    pub fn named(name: &str) -> Option<&'static Self> {
        ENCODERS.iter().find(|encoder| encoder.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorReport, Exit};

    #[test]
    fn the_best_present_encoder_is_taken() {
        let h264 = |present: &[&str]| {
            VideoEncoder::find_among(&Codec::H264, |name| present.contains(&name)).map(|e| e.name)
        };
        assert_eq!(h264(&["h264_nvenc", "libx264"]).unwrap(), "libx264");
        assert_eq!(h264(&["h264_nvenc", "libopenh264"]).unwrap(), "libopenh264");
        let report = ErrorReport::of(&h264(&["libx265", "libsvtav1"]).unwrap_err());
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
}
