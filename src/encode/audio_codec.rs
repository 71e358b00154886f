//! The codecs that audio is encoded with, and what each takes.

use anyhow::Result;
use ff::codec::Id;
use ff::format::Sample;
use ff::format::sample::Type;
use ffmpeg_next as ff;

use crate::error::Fault;

/// Bits of an AAC frame per channel, at most (ISO/IEC 14496-3, 4.5.1.1).
const AAC_FRAME_BITS: usize = 6144;
/// Samples of an AAC frame per channel.
const AAC_FRAME_SAMPLES: usize = 1024;
/// Sample rates of AAC, Hz (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: &[u32] = &[
    7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000,
];
/// Sample rates of Opus, Hz (RFC 6716, 2.1.3).
const OPUS_RATES: &[u32] = &[8000, 12_000, 16_000, 24_000, 48_000];

/// A codec that audio is encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
    /// Opus.
    Opus,
    /// FLAC, 24 bits: lossless.
    Flac,
    /// PCM, 24 bits: lossless.
    Pcm,
}

impl AudioCodec {
    /// Its name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aac => "AAC",
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Pcm => "PCM",
        }
    }

    /// FFmpeg's name of the encoder.
    pub(super) fn encoder(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "libopus",
            Self::Flac => "flac",
            Self::Pcm => "pcm_s24le",
        }
    }

    pub(super) fn id(self) -> Id {
        match self {
            Self::Aac => Id::AAC,
            Self::Opus => Id::OPUS,
            Self::Flac => Id::FLAC,
            Self::Pcm => Id::PCM_S24LE,
        }
    }

    /// The samples that the encoder takes.
    pub(super) fn sample_format(self) -> Sample {
        match self {
            Self::Aac => Sample::F32(Type::Planar),
            Self::Opus => Sample::F32(Type::Packed),
            Self::Flac | Self::Pcm => Sample::I32(Type::Packed),
        }
    }

    /// The lowest sample rate it has from `rate` on, in Hz, or its highest one.
    pub(super) fn sample_rate(self, rate: u32) -> u32 {
        let rates = match self {
            Self::Aac => AAC_RATES,
            Self::Opus => OPUS_RATES,
            Self::Flac | Self::Pcm => return rate,
        };
        let enough = rates.iter().copied().find(|&r| r >= rate);
        enough.or(rates.last().copied()).unwrap_or(rate)
    }

    /// The lowest and highest bitrate for `channels` channels at `rate` Hz, in bit/s; none if it is lossless.
    pub(super) fn bitrates(self, channels: u16, rate: u32) -> Option<(usize, usize)> {
        let channels = usize::from(channels);
        match self {
            Self::Aac => {
                let highest = AAC_FRAME_BITS * channels * rate as usize / AAC_FRAME_SAMPLES;
                Some((8_000 * channels, highest))
            }
            // RFC 6716, 2.1.1, for one or two channels; libopus distributes it over more.
            Self::Opus => Some((6_000 * channels, 255_000 * channels)),
            Self::Flac | Self::Pcm => None,
        }
    }

    /// Fails if `bits` per second are out of range for `channels` channels at `rate` Hz.
    pub fn check_bitrate(self, bits: usize, channels: u16, rate: u32) -> Result<()> {
        let Some((lowest, highest)) = self.bitrates(channels, rate) else {
            return Ok(());
        };
        if (lowest..=highest).contains(&bits) {
            return Ok(());
        }
        let channels = match channels {
            1 => "mono".to_owned(),
            n => format!("{n} channels"),
        };
        Err(Fault::usage(format!(
            "--audio-bitrate {} is out of range: {} takes {} to {} kbit/s for {channels} at {rate} Hz",
            bits / 1000,
            self.name(),
            lowest / 1000,
            highest / 1000
        ))
        .hint("leave it out to use the default")
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrates_depend_on_channels_and_sample_rate() {
        assert!(AudioCodec::Aac.check_bitrate(192_000, 1, 44_100).is_ok());
        assert!(AudioCodec::Aac.check_bitrate(192_000, 1, 16_000).is_err());
        assert!(AudioCodec::Opus.check_bitrate(510_000, 2, 48_000).is_ok());
        assert!(AudioCodec::Opus.check_bitrate(510_000, 1, 48_000).is_err());
    }

    #[test]
    fn the_sample_rate_loses_nothing_if_possible() {
        assert_eq!(AudioCodec::Aac.sample_rate(22_050), 22_050);
        assert_eq!(AudioCodec::Aac.sample_rate(22_051), 24_000);
        assert_eq!(AudioCodec::Opus.sample_rate(96_000), 48_000);
        assert_eq!(AudioCodec::Flac.sample_rate(12_345), 12_345);
    }
}
