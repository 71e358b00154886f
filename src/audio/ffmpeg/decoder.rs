//! An audio track -> samples, with silence where its timestamps leave gaps.

use anyhow::Result;
use ff::{Packet, Rational, Rescale, codec, decoder, format, frame};
use ffmpeg_next as ff;

use super::demuxer::{Demuxer, Medium};
use crate::audio::checks::{channel_count, check_format, quoted, unreadable};
use crate::error::Fault;

/// Samples of silence, per channel, handed out at a time.
const SILENCE_FRAMES: u64 = 4096;
/// Seconds by which the audio may start after the video without silence being inserted: it cannot be heard, and many
/// containers store timestamps in milliseconds.
const MAX_START_OFFSET: f64 = 0.004;
/// Seconds without packets that become silence. Shorter gaps are ignored: in some files the timestamps are off by more
/// than a packet although the audio continues.
pub(super) const MIN_GAP: f64 = 0.1;
/// Longest gap, in seconds; a longer one means that the timestamps are wrong.
const MAX_GAP: f64 = 3600.0;
/// Damaged packets that are ignored at the end of a file: tags and incomplete frames look like this.
const MAX_TRAILING_DAMAGE: usize = 2;
/// Formats without a container: files joined end to end have tags between their frames.
const CONCATENABLE: [&str; 2] = ["mp3", "aac"];
/// How the packets follow each other in time.
pub(super) struct PacketTiming {
    /// Where the next packet should start.
    end: Option<i64>,
    /// Whether each packet started where the previous one ended.
    pub(super) gapless: bool,
}

/// Decodes an audio track in pieces, at its own sample rate and with all channels.
pub(in crate::audio) struct Decoder {
    pub(super) demuxer: Demuxer,
    codec: decoder::Audio,
    pub(super) rate: u32,
    pub(super) channels: u16,
    frame: frame::Audio,
    packet: Packet,
    pub(super) timing: PacketTiming,
    /// Timestamp of the start, known from the first frame on.
    pub(super) origin: Option<i64>,
    /// Samples per channel that were decoded, including inserted silence.
    position: u64,
    /// Silence to insert before the frame, in samples per channel.
    silence: u64,
    /// Whether `frame` holds samples that were not returned yet.
    has_frame: bool,
    /// Consecutive packets that could not be decoded.
    damaged: usize,
}

impl Decoder {
    pub(in crate::audio) fn open(medium: &Medium) -> Result<Self> {
        let path = &medium.path;
        let demuxer = Demuxer::open(medium)?;
        let parameters = demuxer.parameters()?;
        let name = demuxer.codec_name();
        // FFmpeg's error would be about a decoder for `none`.
        if parameters.id() == codec::Id::None {
            return Err(unreadable(path)
                .because(format!("this FFmpeg has no decoder for {name}"))
                .into());
        }
        let mut context = codec::Context::from_parameters(parameters)?.decoder();
        context.set_packet_time_base(demuxer.time_base);
        let decoder = context.audio().map_err(|e| {
            unreadable(path).because(match e {
                ff::Error::DecoderNotFound => format!("this FFmpeg has no decoder for {name}"),
                other => format!("cannot start the {name} decoder: {other}"),
            })
        })?;
        let (rate, channels) = (decoder.rate(), decoder.channels());
        check_format(path, rate, channels)?;
        Ok(Self {
            demuxer,
            codec: decoder,
            rate,
            channels,
            frame: frame::Audio::empty(),
            packet: Packet::empty(),
            timing: PacketTiming {
                end: None,
                gapless: true,
            },
            origin: None,
            position: 0,
            silence: 0,
            has_frame: false,
            damaged: 0,
        })
    }

    /// Appends some samples, interleaved, -1..1, to `out`. Returns false once the end is reached.
    pub(in crate::audio) fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        loop {
            if self.silence > 0 {
                let frames = self.silence.min(SILENCE_FRAMES);
                self.silence -= frames;
                let len = frames as usize * usize::from(self.channels);
                out.resize(out.len() + len, 0.0);
                return Ok(true);
            }
            if self.has_frame {
                self.has_frame = false;
                append(&self.frame, out);
                return Ok(true);
            }
            match self.codec.receive_frame(&mut self.frame) {
                Ok(()) => self.accept_frame()?,
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => self.feed()?,
                Err(ff::Error::Eof) if self.damaged <= MAX_TRAILING_DAMAGE => return Ok(false),
                Err(ff::Error::Eof) => return Err(self.damage_fault().into()),
                Err(_) => self.record_damage()?,
            }
        }
    }

    /// Sends the decoder the next packet.
    fn feed(&mut self) -> Result<()> {
        match self.demuxer.next(&mut self.packet) {
            Ok(()) if self.is_id3_tag() => {
                self.timing.gapless = false;
                Ok(())
            }
            Ok(()) => {
                self.timing.record(&self.packet, self.demuxer.time_base);
                match self.codec.send_packet(&self.packet) {
                    Ok(()) => Ok(()),
                    Err(_) => self.record_damage(),
                }
            }
            Err(ff::Error::Eof) => Ok(self.codec.send_eof()?),
            Err(ff::Error::InvalidData) => self.record_damage(),
            Err(e) => Err(unreadable(&self.demuxer.path)
                .because(format!("after {}: {e}", self.time()))
                .into()),
        }
    }

    /// Whether the packet is an ID3 tag that the demuxer took for audio.
    fn is_id3_tag(&self) -> bool {
        CONCATENABLE.contains(&self.demuxer.input.format().name())
            && self
                .packet
                .data()
                .is_some_and(|data| data.starts_with(b"ID3"))
    }

    /// Counts a packet that could not be read or decoded.
    fn record_damage(&mut self) -> Result<()> {
        self.damaged += 1;
        if self.damaged > MAX_TRAILING_DAMAGE {
            return Err(self.damage_fault().into());
        }
        Ok(())
    }

    /// Fails if the decoded frame comes after damage, or in another format than the first one.
    fn check_frame(&self) -> Result<()> {
        if self.damaged > 0 {
            return Err(self.damage_fault().into());
        }
        let frame = &self.frame;
        if (frame.rate(), frame.channels()) != (self.rate, self.channels) {
            return Err(unreadable(&self.demuxer.path)
                .because(format!(
                    "its format changes from {} Hz, {} to {} Hz, {} at {}",
                    self.rate,
                    channel_count(self.channels),
                    frame.rate(),
                    channel_count(frame.channels()),
                    self.time()
                ))
                .hint(format!(
                    "convert it to one format: ffmpeg -i {} -ar {} -ac {} speech.wav",
                    quoted(&self.demuxer.path),
                    self.rate,
                    self.channels
                ))
                .into());
        }
        if frame.format() == format::Sample::None {
            return Err(unreadable(&self.demuxer.path)
                .because("its sample format is unknown")
                .into());
        }
        Ok(())
    }

    /// Checks a decoded frame, and finds out how much silence goes before it.
    fn accept_frame(&mut self) -> Result<()> {
        self.check_frame()?;
        let pts = self.frame.pts();
        let origin = *self.origin.get_or_insert_with(|| {
            let start = pts.unwrap_or(0);
            self.demuxer.video_start().unwrap_or(start).min(start)
        });
        let due = pts.map_or(0, |pts| self.samples(pts.saturating_sub(origin)));
        let gap = due.saturating_sub(self.position);
        let seconds = gap as f64 / f64::from(self.rate);
        if seconds > MAX_GAP {
            return Err(unreadable(&self.demuxer.path)
                .because(format!(
                    "its timestamps jump by {seconds:.0} s at {}",
                    self.time()
                ))
                .hint(format!(
                    "rewrite the file: ffmpeg -i {} speech.wav",
                    quoted(&self.demuxer.path)
                ))
                .into());
        }
        if seconds
            > if self.position == 0 {
                MAX_START_OFFSET
            } else {
                MIN_GAP
            }
        {
            self.silence = gap;
            self.timing.gapless = false;
        }
        self.position += self.silence + self.frame.samples() as u64;
        self.has_frame = true;
        Ok(())
    }

    /// A duration in samples; 0 if it is negative.
    fn samples(&self, time: i64) -> u64 {
        let samples = time.rescale(self.demuxer.time_base, Rational(1, self.rate as i32));
        u64::try_from(samples).unwrap_or(0)
    }

    /// Where the speakers of the channels stand, as a mask, if the file says so.
    pub(in crate::audio) fn speakers(&self) -> Option<u64> {
        let layout = self.codec.channel_layout();
        (!layout.is_empty()).then(|| layout.bits())
    }

    /// Samples from the start to the end of the last packet, by their timestamps.
    pub(super) fn span(&self) -> Option<u64> {
        let (origin, end) = (self.origin?, self.timing.end?);
        Some(self.samples(end.saturating_sub(origin)))
    }

    /// The length without the samples that the encoder added to fill its last frame; containers mark them by a shorter
    /// last packet.
    pub(super) fn without_padding(&self, frames: u64, span: u64) -> u64 {
        let exact = f64::from(self.demuxer.time_base) * f64::from(self.rate) < 1.5;
        let padding = frames.saturating_sub(span);
        if exact && padding < self.codec.frame_size().into() {
            frames - padding
        } else {
            frames
        }
    }

    fn damage_fault(&self) -> Fault {
        let path = &self.demuxer.path;
        unreadable(path)
            .because(format!("it is damaged at {}", self.time()))
            .hint(format!(
                "export or copy it again, or recover what can be read: ffmpeg -i {} repaired.wav",
                quoted(path)
            ))
    }

    /// How far the file was decoded.
    fn time(&self) -> String {
        format!("{:.2} s", self.position as f64 / f64::from(self.rate))
    }
}

impl PacketTiming {
    /// Records a packet with timestamps in `time_base`.
    fn record(&mut self, packet: &Packet, time_base: Rational) {
        let Some(pts) = packet.pts() else {
            self.gapless = false;
            return;
        };
        if let Some(end) = self.end {
            let offset = pts.saturating_sub(end).unsigned_abs();
            self.gapless &= offset <= 1 || offset as f64 * f64::from(time_base) <= MAX_START_OFFSET;
        }
        self.end = Some(pts.saturating_add(packet.duration()));
    }
}

/// Appends a frame's samples, interleaved, scaled to -1..1 (16-bit: divided by 32768).
fn append(frame: &frame::Audio, out: &mut Vec<f32>) {
    use format::Sample;
    match frame.format() {
        Sample::U8(_) => interleave(frame, out, |[b]| (f32::from(b) - 128.0) / 128.0),
        Sample::I16(_) => interleave(frame, out, |b| f32::from(i16::from_ne_bytes(b)) / 32_768.0),
        Sample::I32(_) => interleave(frame, out, |b| {
            i32::from_ne_bytes(b) as f32 / 2_147_483_648.0
        }),
        Sample::I64(_) => interleave(frame, out, |b| {
            i64::from_ne_bytes(b) as f32 / 9_223_372_036_854_775_808.0
        }),
        Sample::F32(_) => interleave(frame, out, f32::from_ne_bytes),
        Sample::F64(_) => interleave(frame, out, |b| f64::from_ne_bytes(b) as f32),
        Sample::None => {}
    }
}

/// Appends a frame's samples, interleaved, each converted by `sample`.
fn interleave<const N: usize>(
    frame: &frame::Audio,
    out: &mut Vec<f32>,
    sample: impl Fn([u8; N]) -> f32,
) {
    let channels = usize::from(frame.channels());
    let start = out.len();
    out.resize(start + frame.samples() * channels, 0.0);
    // A packed frame has all channels in one plane.
    let step = if frame.is_planar() { channels } else { 1 };
    for plane in 0..frame.planes() {
        let slots = out[start..].iter_mut().skip(plane).step_by(step);
        for (slot, &bytes) in slots.zip(frame.data(plane).as_chunks().0) {
            *slot = sample(bytes);
        }
    }
}
