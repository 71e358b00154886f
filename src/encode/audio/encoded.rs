//! Audio that is encoded again.

use anyhow::{Context as _, Result};
use ff::codec::Id;
use ff::format::context::Output;
use ff::{ChannelLayout, Dictionary, Rational, format, frame};
use ffmpeg_next as ff;

use crate::audio::{AudioFile, AudioReader};
use crate::encode::audio_codec::AudioCodec;
use crate::encode::track::{Track, find_encoder};

/// Samples per channel that are sent at a time to an encoder that takes any number.
const BLOCK: usize = 1024;
/// Bits per sample of lossless audio: 16-bit audio fits, and a 32-bit float has no more.
const LOSSLESS_BITS: i32 = 24;

/// Decodes the input's audio and encodes it again.
pub(in crate::encode) struct EncodedAudio {
    pub(super) track: Track,
    pub(super) id: Id,
    reader: AudioReader,
    rate: u32,
    layout: ChannelLayout,
    format: format::Sample,
    /// Samples per channel that the encoder takes at a time.
    block: usize,
    /// Interleaved samples that do not fill a block yet.
    waiting: Vec<f32>,
    /// Samples per channel that the encoder has got.
    sent: u64,
    ended: bool,
}

impl EncodedAudio {
    /// Gives the clip the stream. `reader` gives samples of `audio` at `codec`'s [sample rate](AudioCodec::sample_rate);
    /// `bits` per second are for a lossy codec.
    pub(super) fn add(
        output: &mut Output,
        codec: AudioCodec,
        audio: &AudioFile,
        bits: usize,
        reader: AudioReader,
    ) -> Result<Self> {
        let found = find_encoder(codec.encoder(), codec.name())?;
        let rate = codec.sample_rate(audio.rate);
        let base = Rational(1, rate as i32);
        let layout = ChannelLayout::default(i32::from(audio.channels));
        let mut encoder = ff::codec::Context::new_with_codec(found)
            .encoder()
            .audio()?;
        encoder.set_rate(rate as i32);
        encoder.set_channel_layout(layout);
        encoder.set_format(codec.sample_format());
        if let Some((_, highest)) = codec.bitrates(audio.channels, rate) {
            encoder.set_bit_rate(bits.min(highest));
        }
        encoder.set_time_base(base);
        if output
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            encoder.set_flags(ff::codec::Flags::GLOBAL_HEADER);
        }
        let mut options = Dictionary::new();
        options.set("bits_per_raw_sample", &LOSSLESS_BITS.to_string());
        let encoder = encoder.open_with(options).with_context(|| {
            format!(
                "cannot start the {} encoder for {} channels at {rate} Hz",
                codec.name(),
                audio.channels
            )
        })?;
        let block = match encoder.frame_size() {
            0 => BLOCK,
            samples => samples as usize,
        };
        Ok(Self {
            track: Track::add(output, found, encoder.0.0, base)?,
            id: codec.id(),
            reader,
            rate,
            layout,
            format: codec.sample_format(),
            block,
            waiting: Vec::new(),
            sent: 0,
            ended: false,
        })
    }

    /// Writes audio until `seconds` are written, or to its end.
    pub(super) fn write_until(&mut self, output: &mut Output, seconds: f64) -> Result<()> {
        let channels = self.layout.channels() as usize;
        while (self.sent as f64) < seconds * f64::from(self.rate) {
            while !self.ended && self.waiting.len() < self.block * channels {
                self.ended = !self.reader.read(&mut self.waiting)?;
            }
            let samples = self.block.min(self.waiting.len() / channels);
            if samples == 0 {
                return Ok(());
            }
            let mut frame = frame::Audio::new(self.format, samples, self.layout);
            frame.set_rate(self.rate);
            frame.set_pts(Some(self.sent as i64));
            fill(&mut frame, &self.waiting[..samples * channels], channels);
            self.waiting.drain(..samples * channels);
            self.sent += samples as u64;
            self.track.send(output, &frame)?;
        }
        Ok(())
    }
}

/// Writes interleaved samples into a frame, as floats or as integers whose upper [`LOSSLESS_BITS`] of 32 bits are used.
fn fill(frame: &mut frame::Audio, samples: &[f32], channels: usize) {
    const FULL: f32 = (1 << (LOSSLESS_BITS - 1)) as f32;
    let is_float = matches!(frame.format(), format::Sample::F32(_));
    // A packed frame is one plane of all channels.
    let step = if frame.is_planar() { channels } else { 1 };
    for plane in 0..frame.planes() {
        let from = samples.iter().skip(plane).step_by(step);
        let to = frame.data_mut(plane).as_chunks_mut().0;
        for (to, from) in to.iter_mut().zip(from) {
            *to = if is_float {
                from.to_ne_bytes()
            } else {
                let value = (from * FULL).round().clamp(-FULL, FULL - 1.0) as i32;
                (value << (32 - LOSSLESS_BITS)).to_ne_bytes()
            };
        }
    }
}
