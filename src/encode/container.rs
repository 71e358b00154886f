//! The containers that clips are written to, and what each can hold.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use ff::codec::Id;
use ffmpeg_next as ff;

use super::audio_codec::AudioCodec;
use super::codec::{Codec, VideoEncoder};
use crate::audio::{AudioFile, PacketReader};
use crate::error::Fault;
use crate::output::OutputKind;

/// A container for a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// `.mp4`, with its index first.
    Mp4,
    /// `.mov`, with its index first.
    Mov,
    /// `.mkv`
    Mkv,
    /// `.webm`
    WebM,
    /// Fragmented MP4, for a pipe.
    Fragments,
}

impl Container {
    /// The container that the extension of `output` selects, if any. `-` is stdout.
    pub fn of(output: &Path) -> Option<Self> {
        if output == Path::new("-") {
            return Some(Self::Fragments);
        }
        let extension = output.extension()?.to_str()?.to_ascii_lowercase();
        [Self::Mp4, Self::Mov, Self::Mkv, Self::WebM]
            .into_iter()
            .find(|container| container.extension() == extension)
    }

    /// The container that the extension of `output` selects. Fails if none has it.
    pub fn named_by(output: &Path) -> Result<Self, Fault> {
        match Self::of(output) {
            Some(container) => Ok(container),
            // `Target::check` has the better error for a folder.
            None if output.is_dir() => Ok(Self::Mp4),
            None => Err(Fault::usage(format!(
                "output `{}` does not end in .mp4, .mov, .mkv or .webm",
                output.display()
            ))
            .hint("the extension selects the container; for PNGs use --frames DIR")),
        }
    }

    /// What it is written to.
    pub fn kind(self) -> OutputKind {
        match self {
            Self::Fragments => OutputKind::Stdout,
            _ => OutputKind::File,
        }
    }

    /// The container for `codec` if no name was given.
    pub fn preferred(codec: Option<&Codec>) -> Self {
        match codec {
            Some(Codec::ProRes4444) => Self::Mov,
            Some(Codec::Encoder(name)) if name == "prores_ks" => Self::Mov,
            _ => Self::Mp4,
        }
    }

    /// Its file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Fragments => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::WebM => "webm",
        }
    }

    /// The video codec to use if none was asked for.
    pub fn default_codec(self) -> Codec {
        match self {
            Self::WebM => Codec::Av1,
            _ => Codec::H264,
        }
    }

    /// The codec for audio that is encoded.
    pub fn audio_codec(self) -> AudioCodec {
        match self {
            Self::WebM => AudioCodec::Opus,
            _ => AudioCodec::Aac,
        }
    }

    /// The codec for audio that must not lose anything.
    pub(super) fn lossless_audio_codec(self) -> AudioCodec {
        match self {
            Self::Mov => AudioCodec::Pcm,
            Self::Mp4 | Self::Mkv | Self::WebM | Self::Fragments => AudioCodec::Flac,
        }
    }

    /// Fails if it cannot hold the output of `encoder`.
    pub fn check(self, encoder: &VideoEncoder) -> Result<()> {
        if self.holds().contains(&encoder.id) {
            return Ok(());
        }
        let others: Vec<String> = [Self::Mp4, Self::Mov, Self::Mkv, Self::WebM]
            .into_iter()
            .filter(|other| other.holds().contains(&encoder.id))
            .map(|other| format!(".{}", other.extension()))
            .collect();
        let others = match others.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => others.concat(),
        };
        let names: Vec<&str> = self.holds().iter().map(|id| codec_name(*id)).collect();
        Err(Fault::usage(format!(
            "{self} cannot hold {} ({})",
            codec_name(encoder.id),
            encoder.name
        ))
        .because(format!("it holds {}", names.join(", ")))
        .hint(format!(
            "choose another --codec, or name a file with -o that ends in {others}"
        ))
        .into())
    }

    /// Whether players play such audio from it. QuickTime plays AAC and ALAC from MP4 and MOV, and PCM from MOV, but no
    /// MP3 or Opus; browsers do not play AC-3.
    fn holds_audio(self, codec: Id) -> bool {
        match codec {
            Id::AAC | Id::ALAC => self != Self::WebM,
            Id::OPUS | Id::VORBIS => matches!(self, Self::Mkv | Self::WebM),
            Id::PCM_S16LE | Id::PCM_S24LE | Id::PCM_S32LE | Id::PCM_F32LE | Id::PCM_F64LE => {
                matches!(self, Self::Mov | Self::Mkv)
            }
            Id::MP3 | Id::AC3 | Id::EAC3 | Id::MP2 | Id::DTS | Id::FLAC | Id::TTA | Id::WAVPACK => {
                self == Self::Mkv
            }
            _ => false,
        }
    }

    /// The packets of `audio` and their codec, if it can hold them.
    pub(super) fn copyable(self, audio: &AudioFile) -> Result<Option<(Id, PacketReader)>> {
        let Some(packets) = audio.packets()? else {
            return Ok(None);
        };
        let codec = packets.parameters()?.id();
        Ok(self.holds_audio(codec).then_some((codec, packets)))
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

    /// The media type of its files, if they can carry Content Credentials.
    #[cfg(feature = "credentials")]
    pub(crate) fn signed_as(self) -> Option<&'static str> {
        match self {
            Self::Mp4 => Some("video/mp4"),
            Self::Mov => Some("video/quicktime"),
            Self::Mkv | Self::WebM | Self::Fragments => None,
        }
    }

    /// FFmpeg's name of the format.
    pub(super) fn format_name(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Fragments => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "matroska",
            Self::WebM => "webm",
        }
    }

    /// Whether it keeps exact timestamps and custom tags, which parts of a clip need.
    pub(crate) fn holds_parts(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov)
    }

    /// FFmpeg's options for the muxer; a part of a clip has a custom tag.
    pub(super) fn options(self, is_part: bool) -> &'static [(&'static str, &'static str)] {
        match self {
            // For FFmpeg 5 and 6, FLAC in MP4 is experimental.
            Self::Mp4 | Self::Mov if is_part => &[
                ("movflags", "+faststart+use_metadata_tags"),
                ("strict", "experimental"),
            ],
            Self::Mp4 | Self::Mov => &[("movflags", "+faststart")],
            // The index is written after the first fragment, so that it can say when audio and video start. A pipe has
            // no use for the table of fragments at the end.
            Self::Fragments => &[(
                "movflags",
                "+frag_keyframe+delay_moov+default_base_moof+skip_trailer",
            )],
            // The audio's priming samples lie before 0, as the codec delay says; otherwise the video would start later.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_select_the_container() {
        let of = |name: &str| Container::of(Path::new(name));
        assert_eq!(of("a.MP4"), Some(Container::Mp4));
        assert_eq!(of("x/a.b.webm"), Some(Container::WebM));
        assert_eq!(of("-"), Some(Container::Fragments));
        assert_eq!((of("a.avi"), of("a"), of(".mkv")), (None, None, None));
    }
}
