//! The input's own sound -> the clip's sound stream: copied where the container can hold it, else encoded.

use std::ops::Range;

use anyhow::{Context as _, Result};
use ff::codec::Id;
use ff::format::context::Output;
use ff::format::sample::Type;
use ff::{ChannelLayout, Dictionary, Packet, Rational, codec, encoder, format, frame};
use ffmpeg_next as ff;

use super::clip::ClipAudio;
use super::track::{Track, find_encoder, plain};
use crate::audio::{AudioFile, AudioReader, PacketReader};

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

/// Samples of each channel that are sent at a time to an encoder that takes any number.
const BLOCK: usize = 1024;
/// Bits of a sample where nothing may be lost: 16-bit sounds have room in them, and a 32-bit float has no more.
const LOSSLESS_BITS: i32 = 24;

/// Lowest rate of MP3 in MP4, Hz: FFmpeg refuses what MPEG-2.5 added below.
const MP3_IN_MP4: u32 = 16_000;

/// Whether a container, by the name of its muxer, holds such sound so that players play it.
fn holds(muxer: &str, codec: Id, rate: u32) -> bool {
    match codec {
        Id::AAC | Id::ALAC | Id::AC3 | Id::EAC3 => matches!(muxer, "mp4" | "mov" | "matroska"),
        Id::MP3 if rate < MP3_IN_MP4 => muxer == "matroska",
        Id::MP3 => matches!(muxer, "mp4" | "mov" | "matroska"),
        Id::OPUS => matches!(muxer, "mp4" | "matroska" | "webm"),
        Id::VORBIS => matches!(muxer, "matroska" | "webm"),
        Id::PCM_S16LE | Id::PCM_S24LE | Id::PCM_S32LE | Id::PCM_F32LE | Id::PCM_F64LE => {
            matches!(muxer, "mov" | "matroska")
        }
        Id::MP2 | Id::DTS | Id::FLAC | Id::TTA | Id::WAVPACK => muxer == "matroska",
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
    pub(super) fn add(muxer: &mut Output, sound: &AudioFile, bits: Option<usize>) -> Result<Self> {
        if bits.is_none()
            && let Some(packets) = sound.packets()?
            && holds(
                muxer.format().name(),
                packets.parameters()?.id(),
                sound.rate,
            )
        {
            return Ok(Self::Copied(Box::new(Copied::add(muxer, packets)?)));
        }
        let coding = match muxer.format().name() {
            "webm" => &OPUS,
            _ => &AAC,
        };
        let reader = sound.reader(coding.rate(sound.rate))?;
        let bits = bits.unwrap_or(AUDIO_BITS);
        let encoded = Encoded::add(muxer, coding, sound, Some(bits), reader)?;
        Ok(Self::Encoded(Box::new(encoded)))
    }

    /// Gives the clip these samples of the sound alone, and loses nothing of 24 bits.
    pub(super) fn add_slice(
        muxer: &mut Output,
        sound: &AudioFile,
        samples: Range<u64>,
    ) -> Result<Self> {
        let coding = match muxer.format().name() {
            "mov" => &PCM,
            _ => &FLAC,
        };
        let reader = sound.slice(samples)?;
        let encoded = Encoded::add(muxer, coding, sound, None, reader)?;
        Ok(Self::Encoded(Box::new(encoded)))
    }

    /// How the sound is written.
    pub(super) fn told(&self) -> ClipAudio {
        ClipAudio {
            codec: self.codec_id().name(),
            copied: matches!(self, Self::Copied(_)),
        }
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
        match self {
            Self::Copied(copied) => {
                if let Some(stream) = muxer.stream(copied.stream) {
                    copied.muxer_base = stream.time_base();
                }
            }
            Self::Encoded(encoded) => encoded.track.header_written(muxer),
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
    /// Sample rates it takes, rising, Hz; any if none is named.
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

const FLAC: Coding = Coding {
    encoder: "flac",
    name: "FLAC",
    id: Id::FLAC,
    rates: &[],
    format: format::Sample::I32(Type::Packed),
};

const PCM: Coding = Coding {
    encoder: "pcm_s24le",
    name: "PCM",
    id: Id::PCM_S24LE,
    rates: &[],
    format: format::Sample::I32(Type::Packed),
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
    reader: AudioReader,
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
    /// Encodes what `reader` gives of `sound`, at the rate that `coding` has for it. `bits` a second limit a codec that loses
    /// something.
    fn add(
        muxer: &mut Output,
        coding: &'static Coding,
        sound: &AudioFile,
        bits: Option<usize>,
        reader: AudioReader,
    ) -> Result<Self> {
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
        if let Some(bits) = bits {
            audio.set_bit_rate(bits.min(coding.most_bits(rate, sound.channels.into())));
        }
        audio.set_time_base(base);
        if muxer
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            audio.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = Dictionary::new();
        options.set("bits_per_raw_sample", &LOSSLESS_BITS.to_string());
        let encoder = audio.open_with(options).with_context(|| {
            format!(
                "cannot start the {} encoder for {} channels at {rate} Hz",
                coding.name, sound.channels
            )
        })?;
        let block = match encoder.frame_size() {
            0 => BLOCK,
            samples => samples as usize,
        };
        Ok(Self {
            track: Track::add(muxer, codec, encoder.0.0, base)?,
            id: coding.id,
            reader,
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

/// Writes interleaved samples into a frame, as floats or as integers of [`LOSSLESS_BITS`] bits in the upper end of 32.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// What the ffmpeg or ffprobe program writes to stdout.
    fn told(program: &str, folder: &Path, args: &[&str]) -> Vec<u8> {
        let output = Command::new(program)
            .args(["-v", "error"])
            .args(args)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    }

    /// A sound in a container: its codec's name, where the loudest sample is and how long it lasts, in seconds, and where
    /// the loudest sample is in a second stream beside it, which is always encoded.
    fn carried(folder: &Path, from: &str, container: &str) -> (String, f64, f64, f64) {
        let sound = AudioFile::open(&folder.join(from), None).unwrap();
        let path = folder.join("clip");
        let mut muxer = format::output_as(&path, container).unwrap();
        let mut tracks =
            [None, Some(96_000)].map(|bits| AudioTrack::add(&mut muxer, &sound, bits).unwrap());
        muxer.write_header().unwrap();
        for track in &mut tracks {
            track.header_written(&muxer);
        }
        for seconds in [0.7, 1.4, f64::INFINITY] {
            for track in &mut tracks {
                track.write_until(&mut muxer, seconds).unwrap();
            }
        }
        for track in &mut tracks {
            track.finish(&mut muxer).unwrap();
        }
        muxer.write_trailer().unwrap();
        drop(muxer);
        let loudest = |stream: &str| {
            // Silence up to the first time stamp, so that the place of a sample is its time in the clip.
            let times = [
                "-af",
                "aresample=async=1:first_pts=0",
                "-ac",
                "1",
                "-ar",
                "48000",
            ];
            let wanted = ["-copyts", "-i", "clip", "-map", stream];
            let raw = ["-f", "f32le", "-"];
            let bytes = told("ffmpeg", folder, &[&wanted[..], &times, &raw].concat());
            let samples = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            let samples: Vec<f32> = samples.collect();
            let louder = |a: &usize, b: &usize| samples[*a].abs().total_cmp(&samples[*b].abs());
            let at = (0..samples.len()).max_by(louder).unwrap();
            (at as f64 / 48_000.0, samples.len() as f64 / 48_000.0)
        };
        let ((at, lasts), (beside, _)) = (loudest("0:a:0"), loudest("0:a:1"));
        fs::remove_file(&path).unwrap();
        let [track, _] = tracks;
        (track.codec_id().name().into(), at, lasts, beside)
    }

    #[test]
    fn each_container_takes_what_it_holds_and_has_the_rest_encoded() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let click = "aevalsrc='if(between(t,1.5,1.502),0.9,0)':s=48000:d=3";
        told("ffmpeg", folder, &["-f", "lavfi", "-i", click, "in.wav"]);
        for file in ["in.mp3", "in.m4a", "in.flac", "in.ogg", "in.opus"] {
            told("ffmpeg", folder, &["-i", "in.wav", file]);
        }
        told(
            "ffmpeg",
            folder,
            &["-i", "in.wav", "-ar", "8000", "low.mp3"],
        );
        told("ffmpeg", folder, &["-i", "in.wav", "-ac", "6", "six.flac"]);
        let vorbis = ["-i", "in.wav", "-c:a", "libvorbis", "in.webm"];
        told("ffmpeg", folder, &vorbis);
        for (from, container, codec) in [
            ("in.wav", "mp4", "aac"),
            ("in.wav", "mov", "pcm_s16le"),
            ("in.wav", "matroska", "pcm_s16le"),
            ("in.wav", "webm", "opus"),
            ("in.mp3", "mp4", "mp3"),
            ("in.mp3", "mov", "mp3"),
            ("in.mp3", "matroska", "mp3"),
            ("in.mp3", "webm", "opus"),
            ("low.mp3", "mp4", "aac"),
            ("in.m4a", "mp4", "aac"),
            ("in.m4a", "mov", "aac"),
            ("in.m4a", "matroska", "aac"),
            ("in.m4a", "webm", "opus"),
            ("in.flac", "mp4", "aac"),
            ("in.flac", "matroska", "flac"),
            ("in.ogg", "mp4", "aac"),
            // FFmpeg's time stamps of Vorbis in Ogg are off by some milliseconds at the beginning.
            ("in.ogg", "matroska", "aac"),
            ("in.ogg", "webm", "opus"),
            ("in.webm", "matroska", "vorbis"),
            ("in.webm", "webm", "vorbis"),
            ("in.opus", "mp4", "opus"),
            ("in.opus", "mov", "aac"),
            ("in.opus", "matroska", "opus"),
            ("in.opus", "webm", "opus"),
            ("six.flac", "webm", "opus"),
        ] {
            let (name, at, lasts, beside) = carried(folder, from, container);
            let what = format!("{from} in {container}");
            assert_eq!(name, codec, "{what}");
            // FFmpeg's Matroska begins with what a decoder drops: all streams come so much later. It forgets that for
            // the 6.5 ms of Opus, so that streams are off by them.
            let (late, off) = match container {
                "matroska" | "webm" => (0.026, 0.008),
                _ => (0.0, 0.005),
            };
            assert!((at - beside).abs() < off, "{what}: at {at}, not {beside}");
            assert!((-off..late + off).contains(&(at - 1.5)), "{what}: at {at}");
            // A frame of AAC lasts 128 ms at 8 kHz.
            assert!((lasts - 3.0).abs() < 0.13, "{what}: {lasts} s");
        }
    }
}
