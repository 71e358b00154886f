//! The input's own sound -> the clip's sound stream: copied where the container can hold it, else encoded.

use anyhow::{Context as _, Result};
use ff::codec::Id;
use ff::format::context::Output;
use ff::format::sample::Type;
use ff::{ChannelLayout, Packet, Rational, codec, encoder, format, frame};
use ffmpeg_next as ff;

use super::track::{Track, find_encoder, plain};
use crate::audio::{PacketReader, Sound, SoundReader};

/// Bits a second for the sound, where its rate and channels can use so many.
const AUDIO_BITS: usize = 192_000;
/// Bits of an AAC frame for each channel, at most (ISO/IEC 14496-3, 4.5.1.1).
const AAC_FRAME_BITS: usize = 6144;
/// Samples of each channel in an AAC frame.
const AAC_FRAME: usize = 1024;
/// Sample rates that AAC knows, Hz (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: &[u32] = &[
    7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000,
];
/// Sample rates that Opus takes, Hz (RFC 6716, 2.1.3).
const OPUS_RATES: &[u32] = &[8000, 12_000, 16_000, 24_000, 48_000];
/// Bits a second of an Opus stream for each channel, at most, to FFmpeg's encoder.
const OPUS_BITS: usize = 256_000;

/// Whether a container, by the name of its muxer, holds sound of this codec so that players find it.
fn holds(muxer: &str, codec: Id) -> bool {
    let plain = matches!(
        codec,
        Id::PCM_S16LE | Id::PCM_S24LE | Id::PCM_S32LE | Id::PCM_F32LE | Id::PCM_F64LE
    );
    match muxer {
        "mp4" => matches!(
            codec,
            Id::AAC | Id::MP3 | Id::ALAC | Id::AC3 | Id::EAC3 | Id::OPUS
        ),
        "mov" => plain || matches!(codec, Id::AAC | Id::MP3 | Id::ALAC | Id::AC3 | Id::EAC3),
        "matroska" => {
            plain
                || matches!(
                    codec,
                    Id::AAC | Id::MP2 | Id::MP3 | Id::ALAC | Id::AC3 | Id::EAC3 | Id::DTS
                )
                || matches!(
                    codec,
                    Id::FLAC | Id::OPUS | Id::VORBIS | Id::TTA | Id::WAVPACK
                )
        }
        "webm" => matches!(codec, Id::OPUS | Id::VORBIS),
        _ => false,
    }
}

/// The clip's sound stream.
pub(super) enum AudioTrack {
    Copied(Box<Copied>),
    Encoded(Box<Encoded>),
}

impl AudioTrack {
    /// Gives the clip the stream. `bits` a second ask for an encoder, even where the sound could be copied.
    pub(super) fn add(muxer: &mut Output, sound: &Sound, bits: Option<usize>) -> Result<Self> {
        if bits.is_none()
            && let Some(packets) = sound.packets()?
            && holds(muxer.format().name(), packets.parameters()?.id())
        {
            return Ok(Self::Copied(Box::new(Copied::add(muxer, packets)?)));
        }
        let encoded = Encoded::add(muxer, sound, bits.unwrap_or(AUDIO_BITS))?;
        Ok(Self::Encoded(Box::new(encoded)))
    }

    /// The codec that the stream is of.
    pub(super) fn codec_id(&self) -> Id {
        match self {
            Self::Copied(copied) => copied.id,
            Self::Encoded(encoded) => encoded.id,
        }
    }

    /// To be called once the header is written: the muxer chooses its own time base.
    pub(super) fn header_written(&mut self, muxer: &Output) {
        let (index, base) = match self {
            Self::Copied(copied) => (copied.stream, &mut copied.muxer_base),
            Self::Encoded(encoded) => (encoded.track.stream, &mut encoded.track.muxer_base),
        };
        if let Some(stream) = muxer.stream(index) {
            *base = stream.time_base();
        }
    }

    /// Writes sound until `seconds` are covered, or to its end.
    pub(super) fn write_until(&mut self, muxer: &mut Output, seconds: f64) -> Result<()> {
        match self {
            Self::Copied(copied) => copied.write_until(muxer, seconds),
            Self::Encoded(encoded) => encoded.write_until(muxer, seconds),
        }
    }

    /// Writes all that is left.
    pub(super) fn finish(&mut self, muxer: &mut Output) -> Result<()> {
        self.write_until(muxer, f64::INFINITY)?;
        match self {
            Self::Copied(_) => Ok(()),
            Self::Encoded(encoded) => encoded.track.finish(muxer),
        }
    }
}

/// Packets on their way from the input to the clip.
pub(super) struct Copied {
    packets: PacketReader,
    packet: Packet,
    id: Id,
    stream: usize,
    /// Time base of the packets in the clip.
    muxer_base: Rational,
    /// Seconds that were written.
    covered: f64,
    ended: bool,
}

impl Copied {
    fn add(muxer: &mut Output, packets: PacketReader) -> Result<Self> {
        let parameters = packets.parameters()?;
        let id = parameters.id();
        let mut stream = muxer.add_stream(encoder::find(Id::None))?;
        stream.set_parameters(parameters);
        stream.set_time_base(packets.time_base());
        Ok(Self {
            stream: stream.index(),
            muxer_base: packets.time_base(),
            packets,
            packet: Packet::empty(),
            id,
            covered: 0.0,
            ended: false,
        })
    }

    fn write_until(&mut self, muxer: &mut Output, seconds: f64) -> Result<()> {
        while self.covered < seconds && !self.ended {
            self.ended = !self.packets.next(&mut self.packet)?;
            if self.ended {
                return Ok(());
            }
            let base = self.packets.time_base();
            let end = self.packet.pts().unwrap_or(0) + self.packet.duration();
            self.covered = end as f64 * f64::from(base);
            self.packet.set_stream(self.stream);
            self.packet.rescale_ts(base, self.muxer_base);
            self.packet.write_interleaved(muxer).map_err(plain)?;
        }
        Ok(())
    }
}

/// A codec that sound is encoded with.
struct Coding {
    encoder: &'static str,
    name: &'static str,
    id: Id,
    /// Sample rates it takes, rising, Hz.
    rates: &'static [u32],
    format: format::Sample,
}

const AAC: Coding = Coding {
    encoder: "aac",
    name: "AAC",
    id: Id::AAC,
    rates: AAC_RATES,
    format: format::Sample::F32(Type::Planar),
};

const OPUS: Coding = Coding {
    encoder: "libopus",
    name: "Opus",
    id: Id::OPUS,
    rates: OPUS_RATES,
    format: format::Sample::F32(Type::Packed),
};

impl Coding {
    /// The rate it takes that loses nothing of a sound at `rate`, or its highest one.
    fn rate(&self, rate: u32) -> u32 {
        let highest = self.rates.last().copied().unwrap_or(rate);
        let enough = self.rates.iter().copied().find(|&r| r >= rate);
        enough.unwrap_or(highest)
    }

    /// Bits a second that so many channels at `rate` can use.
    fn most_bits(&self, rate: u32, channels: usize) -> usize {
        match self.id {
            Id::OPUS => OPUS_BITS * channels,
            _ => AAC_FRAME_BITS * channels * rate as usize / AAC_FRAME,
        }
    }
}

/// Samples on their way through an encoder.
pub(super) struct Encoded {
    track: Track,
    id: Id,
    reader: SoundReader,
    rate: u32,
    layout: ChannelLayout,
    format: format::Sample,
    /// Samples of each channel that the encoder takes at a time.
    block: usize,
    /// Interleaved samples that wait for a whole block.
    waiting: Vec<f32>,
    /// Samples of each channel that were sent.
    sent: u64,
    ended: bool,
}

impl Encoded {
    fn add(muxer: &mut Output, sound: &Sound, bits: usize) -> Result<Self> {
        let coding = match muxer.format().name() {
            "webm" => OPUS,
            _ => AAC,
        };
        let codec = find_encoder(coding.encoder, coding.name)?;
        let rate = coding.rate(sound.rate);
        let base = Rational(1, rate as i32);
        let layout = ChannelLayout::default(i32::from(sound.channels));
        let mut audio = codec::context::Context::new_with_codec(codec)
            .encoder()
            .audio()?;
        audio.set_rate(rate as i32);
        audio.set_channel_layout(layout);
        audio.set_format(coding.format);
        audio.set_bit_rate(bits.min(coding.most_bits(rate, sound.channels.into())));
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
                "cannot start the {} encoder for {} channels at {rate} Hz",
                coding.name, sound.channels
            )
        })?;
        let block = encoder.frame_size() as usize;
        Ok(Self {
            track: Track::add(muxer, codec, encoder.0.0, base)?,
            id: coding.id,
            reader: sound.reader(rate)?,
            rate,
            layout,
            format: coding.format,
            block,
            waiting: Vec::new(),
            sent: 0,
            ended: false,
        })
    }

    fn write_until(&mut self, muxer: &mut Output, seconds: f64) -> Result<()> {
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
            self.track.send(muxer, &frame)?;
        }
        Ok(())
    }
}

/// Writes interleaved samples into a frame of float samples.
fn fill(frame: &mut frame::Audio, samples: &[f32], channels: usize) {
    // A packed frame is one plane of all channels.
    let step = if frame.is_planar() { channels } else { 1 };
    for plane in 0..frame.planes() {
        let from = samples.iter().skip(plane).step_by(step);
        let to = frame.data_mut(plane).as_chunks_mut().0;
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.to_ne_bytes();
        }
    }
}
