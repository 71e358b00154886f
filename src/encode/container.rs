//! The files that clips are put into, and what each can hold.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use ff::codec::Id;
use ffmpeg_next as ff;

use super::codec::{Codec, VideoEncoder};
use crate::error::Fault;
use crate::output::OutputKind;

/// A kind of clip file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// `.mp4`, its index first.
    Mp4,
    /// `.mov`, its index first.
    Mov,
    /// `.mkv`
    Mkv,
    /// `.webm`
    WebM,
    /// MP4 in fragments, for a pipe.
    Fragments,
}

/// A way of compressing sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
    /// Opus.
    Opus,
}

impl Container {
    /// The kind of file that `output` names; none if no kind does. `-` is the standard output.
    pub fn of(output: &Path) -> Option<Self> {
        if output == Path::new("-") {
            return Some(Self::Fragments);
        }
        let extension = output.extension()?.to_str()?.to_ascii_lowercase();
        [Self::Mp4, Self::Mov, Self::Mkv, Self::WebM]
            .into_iter()
            .find(|container| container.extension() == extension)
    }

    /// The kind of file that `output` names. Fails if no kind does.
    pub fn named_by(output: &Path) -> Result<Self, Fault> {
        match Self::of(output) {
            Some(container) => Ok(container),
            // The target's own check says what is wrong with it.
            None if output.is_dir() => Ok(Self::Mp4),
            None => Err(Fault::usage(format!(
                "output `{}` does not end in .mp4, .mov, .mkv or .webm",
                output.display()
            ))
            .hint("the name's end says what kind of clip is written; for PNGs use --frames DIR")),
        }
    }

    /// What it is written to.
    pub fn kind(self) -> OutputKind {
        match self {
            Self::Fragments => OutputKind::Stdout,
            _ => OutputKind::File,
        }
    }

    /// The kind of file for `codec` where no name was given.
    pub fn preferred(codec: Option<&Codec>) -> Self {
        match codec {
            Some(Codec::ProRes4444) => Self::Mov,
            Some(Codec::Encoder(name)) if name == "prores_ks" => Self::Mov,
            _ => Self::Mp4,
        }
    }

    /// How its files' names end, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Fragments => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::WebM => "webm",
        }
    }

    /// What is taken where no codec was asked for.
    pub fn default_codec(self) -> Codec {
        match self {
            Self::WebM => Codec::Av1,
            _ => Codec::H264,
        }
    }

    /// How sound is compressed in it.
    pub fn sound_codec(self) -> AudioCodec {
        match self {
            Self::WebM => AudioCodec::Opus,
            _ => AudioCodec::Aac,
        }
    }

    /// Fails if it cannot hold what `encoder` makes.
    pub fn check(self, encoder: &VideoEncoder) -> Result<()> {
        if self.holds().contains(&encoder.id) {
            return Ok(());
        }
        let others: Vec<String> = [Self::Mp4, Self::Mov, Self::Mkv, Self::WebM]
            .into_iter()
            .filter(|other| other.holds().contains(&encoder.id))
            .map(|other| format!(".{}", other.extension()))
            .collect();
        let names: Vec<&str> = self.holds().iter().map(|id| codec_name(*id)).collect();
        Err(Fault::usage(format!(
            "{self} cannot hold {} ({})",
            codec_name(encoder.id),
            encoder.name
        ))
        .because(format!("it holds {}", names.join(", ")))
        .hint(format!(
            "choose another --codec, or name a file with -o that ends in {}",
            others.join(" or ")
        ))
        .into())
    }

    /// Video codecs that players expect in it.
    fn holds(self) -> &'static [Id] {
        match self {
            Self::Mp4 | Self::Fragments => &[Id::H264, Id::HEVC, Id::AV1, Id::VP9],
            Self::Mov => &[Id::H264, Id::HEVC, Id::PRORES],
            Self::Mkv => &[Id::H264, Id::HEVC, Id::AV1, Id::VP9, Id::PRORES],
            Self::WebM => &[Id::AV1, Id::VP9],
        }
    }

    /// Whether it is made of the boxes of ISO/IEC 14496-12.
    pub(super) fn has_boxes(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov | Self::Fragments)
    }

    /// The media type of its files, if Content Credentials can be put into them.
    #[cfg(feature = "credentials")]
    pub(crate) fn signed_as(self) -> Option<&'static str> {
        match self {
            Self::Mp4 => Some("video/mp4"),
            Self::Mov => Some("video/quicktime"),
            Self::Mkv | Self::WebM | Self::Fragments => None,
        }
    }

    /// FFmpeg's name for it.
    pub(super) fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Fragments => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "matroska",
            Self::WebM => "webm",
        }
    }

    /// Whether it keeps exact times and any kind of tag, as parts of a clip need it.
    pub(crate) fn holds_parts(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov)
    }

    /// What FFmpeg is told about it; a part of a clip has a tag that others do not know.
    pub(super) fn options(self, is_part: bool) -> &'static [(&'static str, &'static str)] {
        match self {
            // FFmpeg 5 and 6 take FLAC in MP4 for an experiment.
            Self::Mp4 | Self::Mov if is_part => &[
                ("movflags", "+faststart+use_metadata_tags"),
                ("strict", "experimental"),
            ],
            Self::Mp4 | Self::Mov => &[("movflags", "+faststart")],
            // The index waits for the first fragment, so that it can say where sound and picture start; the table of
            // fragments at the end would be of no use in a pipe.
            Self::Fragments => &[(
                "movflags",
                "+frag_keyframe+delay_moov+default_base_moof+skip_trailer",
            )],
            // The sound's priming lies before 0, as the codec delay says; else all pictures would come later.
            Self::Mkv | Self::WebM => &[("avoid_negative_ts", "disabled")],
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mp4 => "MP4",
            Self::Mov => "MOV",
            Self::Mkv => "Matroska",
            Self::WebM => "WebM",
            Self::Fragments => "the stream to stdout (MP4)",
        })
    }
}

fn codec_name(id: Id) -> &'static str {
    match id {
        Id::H264 => "H.264",
        Id::HEVC => "H.265",
        Id::AV1 => "AV1",
        Id::VP9 => "VP9",
        Id::PRORES => "ProRes",
        other => other.name(),
    }
}

/// Bits of an AAC frame for each channel, at most (ISO/IEC 14496-3, 4.5.1.1), and its samples.
const AAC_FRAME: (u64, u64) = (6144, 1024);

impl AudioCodec {
    /// Fails if it cannot use `bits` a second for so many channels at `rate` Hz.
    pub fn check_bits(self, bits: usize, channels: u16, rate: u32) -> Result<()> {
        let channels = u64::from(channels);
        let (name, least, most) = match self {
            Self::Aac => {
                let most = AAC_FRAME.0 * channels * u64::from(rate) / AAC_FRAME.1;
                ("AAC", 8_000 * channels, most)
            }
            // RFC 6716, 2.1.1, for one or two channels; libopus shares it out to more.
            Self::Opus => ("Opus", 6_000 * channels, 255_000 * channels),
        };
        if (least..=most).contains(&(bits as u64)) {
            return Ok(());
        }
        let channels = match channels {
            1 => "mono".to_owned(),
            n => format!("{n} channels"),
        };
        Err(Fault::usage(format!(
            "--audio-bitrate {} is out of range: {name} takes {} to {} kbit/s for {channels} at {rate} Hz",
            bits / 1000,
            least / 1000,
            most / 1000
        ))
        .hint("leave it out for the usual one")
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_kind() {
        let of = |name: &str| Container::of(Path::new(name));
        assert_eq!(of("a.MP4"), Some(Container::Mp4));
        assert_eq!(of("x/a.b.webm"), Some(Container::WebM));
        assert_eq!(of("-"), Some(Container::Fragments));
        assert_eq!((of("a.avi"), of("a"), of(".mkv")), (None, None, None));
    }

    #[test]
    fn sound_limits_depend_on_the_sound() {
        assert!(AudioCodec::Aac.check_bits(192_000, 1, 44_100).is_ok());
        assert!(AudioCodec::Aac.check_bits(192_000, 1, 16_000).is_err());
        assert!(AudioCodec::Opus.check_bits(510_000, 2, 48_000).is_ok());
        assert!(AudioCodec::Opus.check_bits(510_000, 1, 48_000).is_err());
    }
}
