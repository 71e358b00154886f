//! The input's own sound -> the clip's sound stream.

use anyhow::{Context as _, Result};
use ff::format::context::Output;
use ff::{ChannelLayout, Rational, codec, format, frame};
use ffmpeg_next as ff;

use super::clip::ClipFormat;
use super::container::SoundCodec;
use super::track::{Track, find_encoder};
use crate::audio::{Sound, SoundReader};

/// Bits a second for the sound, where its rate and channels can use so many.
const AUDIO_BITS: usize = 192_000;
/// Bits of an AAC frame for each channel, at most (ISO/IEC 14496-3, 4.5.1.1).
const AAC_FRAME_BITS: usize = 6144;
/// Samples of each channel in an AAC frame.
const AAC_FRAME: usize = 1024;
/// Sample rates that AAC knows, Hz (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 13] = [
    7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000,
];

/// Sample rates that Opus knows, Hz (RFC 6716, 2).
const OPUS_RATES: [u32; 5] = [8000, 12_000, 16_000, 24_000, 48_000];

pub(super) struct AudioTrack {
    pub(super) track: Track,
    reader: SoundReader,
    rate: u32,
    layout: ChannelLayout,
    sample: format::Sample,
    /// Samples of each channel that the encoder takes at a time.
    block: usize,
    /// Interleaved samples that wait for a whole block.
    waiting: Vec<f32>,
    /// Samples of each channel that were sent.
    sent: u64,
    ended: bool,
}

impl AudioTrack {
    pub(super) fn add(muxer: &mut Output, sound: &Sound, clip: &ClipFormat) -> Result<Self> {
        let (codec, rates) = match clip.container.sound_codec() {
            SoundCodec::Aac => (find_encoder("aac", "AAC")?, &AAC_RATES[..]),
            SoundCodec::Opus => (find_encoder("libopus", "Opus")?, &OPUS_RATES[..]),
        };
        let highest = rates.last().copied().unwrap_or(sound.rate);
        let rate = rates.iter().copied().find(|&r| r >= sound.rate);
        let rate = rate.unwrap_or(highest);
        let sample = format::Sample::F32(match clip.container.sound_codec() {
            SoundCodec::Aac => format::sample::Type::Planar,
            SoundCodec::Opus => format::sample::Type::Packed,
        });
        let base = Rational(1, rate as i32);
        let layout = ChannelLayout::default(i32::from(sound.channels));
        let most = AAC_FRAME_BITS * usize::from(sound.channels) * rate as usize / AAC_FRAME;
        let mut audio = codec::context::Context::new_with_codec(codec)
            .encoder()
            .audio()?;
        audio.set_rate(rate as i32);
        audio.set_channel_layout(layout);
        audio.set_format(sample);
        audio.set_bit_rate(match clip.sound_bits {
            Some(bits) => bits as usize,
            None => AUDIO_BITS.min(most),
        });
        audio.set_time_base(base);
        if muxer
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            audio.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = audio.open().with_context(|| {
            format!(
                "cannot start the sound encoder {} for {} channels at {rate} Hz",
                codec.name(),
                sound.channels
            )
        })?;
        let block = encoder.frame_size() as usize;
        Ok(Self {
            track: Track::add(muxer, codec, encoder.0.0, base)?,
            reader: sound.reader(rate)?,
            rate,
            layout,
            sample,
            block,
            waiting: Vec::new(),
            sent: 0,
            ended: false,
        })
    }

    /// Encodes sound until `seconds` are covered, or to its end.
    pub(super) fn write_until(&mut self, muxer: &mut Output, seconds: f64) -> Result<()> {
        let channels = self.layout.channels() as usize;
        while (self.sent as f64) < seconds * f64::from(self.rate) {
            while !self.ended && self.waiting.len() < self.block * channels {
                self.ended = !self.reader.read(&mut self.waiting)?;
            }
            let samples = self.block.min(self.waiting.len() / channels);
            if samples == 0 {
                return Ok(());
            }
            let mut frame = frame::Audio::new(self.sample, samples, self.layout);
            frame.set_rate(self.rate);
            frame.set_pts(Some(self.sent as i64));
            if self.sample.is_planar() {
                for channel in 0..channels {
                    let from = self.waiting.iter().skip(channel).step_by(channels);
                    for (to, from) in frame.plane_mut::<f32>(channel).iter_mut().zip(from) {
                        *to = *from;
                    }
                }
            } else {
                let to = frame.data_mut(0).chunks_exact_mut(size_of::<f32>());
                for (to, from) in to.zip(&self.waiting[..samples * channels]) {
                    to.copy_from_slice(&from.to_ne_bytes());
                }
            }
            self.waiting.drain(..samples * channels);
            self.sent += samples as u64;
            self.track.send(muxer, &frame)?;
        }
        Ok(())
    }
}
