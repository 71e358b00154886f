//! An audio track -> samples, with silence where its timestamps leave gaps.

use std::path::Path;

use anyhow::Result;
use ff::{Packet, Rational, Rescale, codec, decoder, format, frame};
use ffmpeg_next as ff;

use super::demuxer::Source;
use crate::audio::checks::{check_kind, quoted, unreadable};
use crate::error::Fault;

/// Samples of silence, per channel, handed out at a time.
const SILENCE_FRAMES: u64 = 4096;
/// Seconds that the sound may begin after the pictures without silence being put before it: nobody hears so little, and
/// many time stamps tell only milliseconds.
const LEAD: f64 = 0.004;
/// Seconds without packets that become silence. Some files' time stamps are off by more than a packet, while the sound
/// goes on.
const GAP: f64 = 0.1;
/// Seconds that a gap lasts at most: beyond, the time stamps are nonsense.
const LONGEST_GAP: f64 = 3600.0;
/// Damaged packets that are passed over at a file's end: tags and the rest of a frame look like that.
const JUNK: usize = 2;
/// Containers that are nothing but frames in a row, so that files of theirs are joined with their tags between them.
const JOINABLE: [&str; 2] = ["mp3", "aac"];
/// Seconds by which the length in the header may be wrong.
const SHORTFALL: f64 = 0.5;
/// Containers whose header tells the length of the sound, and not an estimate.
const HONEST: [&str; 2] = ["mov,mp4,m4a,3gp,3g2,mj2", "flac"];

/// What is known of a sound once it was decoded.
#[derive(Debug, Clone, Copy)]
pub(in crate::audio) struct Probe {
    pub(in crate::audio) rate: u32,
    pub(in crate::audio) channels: u16,
    /// Samples of each channel.
    pub(in crate::audio) frames: u64,
    /// Time stamp of the beginning, in the stream's time base.
    pub(in crate::audio) origin: i64,
    /// Whether the packets follow each other from the beginning to the end.
    pub(in crate::audio) gapless: bool,
}

/// Decodes a sound until its end, or until `limit` seconds are there, to know its length.
pub(in crate::audio) fn probe(path: &Path, limit: Option<f64>) -> Result<Probe> {
    let mut decoder = Decoder::open(path)?;
    let most = limit.map_or(u64::MAX, |s| {
        (s * f64::from(decoder.rate)).ceil().max(1.0) as u64
    });
    let mut samples = Vec::new();
    let mut frames = 0;
    let mut ended = false;
    while frames < most && !ended {
        samples.clear();
        ended = !decoder.read(&mut samples)?;
        frames += (samples.len() / usize::from(decoder.channels)) as u64;
    }
    let mut gapless = decoder.line.gapless;
    if ended {
        decoder.check_length(frames)?;
        let span = decoder.span().unwrap_or(frames);
        // What an edit list takes out would come back in a copy.
        gapless &= span.abs_diff(frames) as f64 <= GAP * f64::from(decoder.rate);
        frames = decoder.without_padding(frames, span);
    }
    Ok(Probe {
        rate: decoder.rate,
        channels: decoder.channels,
        frames,
        origin: decoder.origin.unwrap_or(0),
        gapless,
    })
}

/// How the packets lie on the time line.
struct Line {
    /// Where the next packet is to begin.
    end: Option<i64>,
    /// Whether each packet began where the one before it ended.
    gapless: bool,
}

/// Decodes a sound in pieces, in its own rate and channels.
pub(in crate::audio) struct Decoder {
    source: Source,
    codec: decoder::Audio,
    rate: u32,
    channels: u16,
    frame: frame::Audio,
    packet: Packet,
    line: Line,
    /// Time stamp of the beginning, known from the first frame on.
    origin: Option<i64>,
    /// Samples of each channel that were decoded, silence included.
    position: u64,
    /// Silence still due, in samples of each channel, before the frame.
    silence: u64,
    /// Whether the frame waits to be given.
    waiting: bool,
    /// Packets in a row that could not be decoded.
    damaged: usize,
}

impl Decoder {
    pub(in crate::audio) fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let parameters = source.parameters()?;
        let name = parameters.id().name();
        let mut context = codec::Context::from_parameters(parameters)?.decoder();
        context.set_packet_time_base(source.base);
        let decoder = context.audio().map_err(|e| {
            unreadable(path).because(match e {
                ff::Error::DecoderNotFound => format!("FFmpeg here has no decoder for {name}"),
                other => format!("the {name} decoder does not start: {other}"),
            })
        })?;
        let (rate, channels) = (decoder.rate(), decoder.channels());
        check_kind(path, rate, channels)?;
        Ok(Self {
            source,
            codec: decoder,
            rate,
            channels,
            frame: frame::Audio::empty(),
            packet: Packet::empty(),
            line: Line {
                end: None,
                gapless: true,
            },
            origin: None,
            position: 0,
            silence: 0,
            waiting: false,
            damaged: 0,
        })
    }

    /// Appends some samples, interleaved, -1..1, to `out`. Returns false once the end was reached.
    pub(in crate::audio) fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        loop {
            if self.silence > 0 {
                let frames = self.silence.min(SILENCE_FRAMES);
                self.silence -= frames;
                let len = frames as usize * usize::from(self.channels);
                out.resize(out.len() + len, 0.0);
                return Ok(true);
            }
            if self.waiting {
                self.waiting = false;
                append(&self.frame, out);
                return Ok(true);
            }
            match self.codec.receive_frame(&mut self.frame) {
                Ok(()) => self.place_frame()?,
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => self.feed()?,
                Err(ff::Error::Eof) if self.damaged <= JUNK => return Ok(false),
                Err(ff::Error::Eof) => return Err(self.damage().into()),
                Err(_) => self.count_damage()?,
            }
        }
    }

    /// Gives the decoder the next packet.
    fn feed(&mut self) -> Result<()> {
        match self.source.next(&mut self.packet) {
            Ok(()) if self.is_tag() => {
                self.line.gapless = false;
                Ok(())
            }
            Ok(()) => {
                self.line.follow(&self.packet, self.source.base);
                match self.codec.send_packet(&self.packet) {
                    Ok(()) => Ok(()),
                    Err(_) => self.count_damage(),
                }
            }
            Err(ff::Error::Eof) => Ok(self.codec.send_eof()?),
            Err(ff::Error::InvalidData) => self.count_damage(),
            Err(e) => Err(unreadable(&self.source.path)
                .because(format!("after {}: {e}", self.time()))
                .into()),
        }
    }

    /// Whether the packet is an ID3 tag, taken for sound.
    fn is_tag(&self) -> bool {
        JOINABLE.contains(&self.source.input.format().name())
            && self
                .packet
                .data()
                .is_some_and(|data| data.starts_with(b"ID3"))
    }

    /// Counts a packet that could not be read or decoded.
    fn count_damage(&mut self) -> Result<()> {
        self.damaged += 1;
        if self.damaged > JUNK {
            return Err(self.damage().into());
        }
        Ok(())
    }

    /// Checks a new frame and finds its place in time.
    fn place_frame(&mut self) -> Result<()> {
        if self.damaged > 0 {
            return Err(self.damage().into());
        }
        let frame = &self.frame;
        if (frame.rate(), frame.channels()) != (self.rate, self.channels) {
            return Err(unreadable(&self.source.path)
                .because(format!(
                    "its sound changes from {} Hz and {} channels to {} Hz and {} at {}",
                    self.rate,
                    self.channels,
                    frame.rate(),
                    frame.channels(),
                    self.time()
                ))
                .hint(format!(
                    "make it one kind: ffmpeg -i {} -ar {} -ac {} speech.wav",
                    quoted(&self.source.path),
                    self.rate,
                    self.channels
                ))
                .into());
        }
        if frame.format() == format::Sample::None {
            return Err(unreadable(&self.source.path)
                .because("its samples are of an unknown kind")
                .into());
        }
        let pts = frame.pts();
        let origin = *self.origin.get_or_insert_with(|| {
            let sound = pts.unwrap_or(0);
            self.source.video_start().unwrap_or(sound).min(sound)
        });
        let due = pts.map_or(0, |pts| self.samples(pts.saturating_sub(origin)));
        let gap = due.saturating_sub(self.position);
        let seconds = gap as f64 / f64::from(self.rate);
        if seconds > LONGEST_GAP {
            return Err(unreadable(&self.source.path)
                .because(format!(
                    "its time stamps jump by {seconds:.0} s at {}",
                    self.time()
                ))
                .hint(format!(
                    "make it whole: ffmpeg -i {} speech.wav",
                    quoted(&self.source.path)
                ))
                .into());
        }
        if seconds > if self.position == 0 { LEAD } else { GAP } {
            self.silence = gap;
            self.line.gapless = false;
        }
        self.position += self.silence + self.frame.samples() as u64;
        self.waiting = true;
        Ok(())
    }

    /// A length of time in samples; 0 if it is negative.
    fn samples(&self, time: i64) -> u64 {
        let samples = time.rescale(self.source.base, Rational(1, self.rate as i32));
        u64::try_from(samples).unwrap_or(0)
    }

    /// Samples from the beginning to the end of the last packet, by the time stamps.
    fn span(&self) -> Option<u64> {
        let (origin, end) = (self.origin?, self.line.end?);
        Some(self.samples(end.saturating_sub(origin)))
    }

    /// The length without what the encoder added to fill its last frame: containers say so by a shorter last packet.
    fn without_padding(&self, frames: u64, span: u64) -> u64 {
        let exact = f64::from(self.source.base) * f64::from(self.rate) < 1.5;
        let padding = frames.saturating_sub(span);
        if exact && padding < self.codec.frame_size().into() {
            frames - padding
        } else {
            frames
        }
    }

    /// Fails if the header promises much more than there was.
    fn check_length(&self, frames: u64) -> Result<()> {
        let Some(stream) = self.source.input.stream(self.source.stream) else {
            return Ok(());
        };
        let promised = stream.duration() as f64 * f64::from(self.source.base);
        let there = frames as f64 / f64::from(self.rate);
        if HONEST.contains(&self.source.input.format().name()) && promised > there + SHORTFALL {
            return Err(unreadable(&self.source.path)
                .because(format!(
                    "its header promises {promised:.2} s of sound, the file ends after {there:.2} s"
                ))
                .hint("the file looks cut off; export or copy it again")
                .into());
        }
        Ok(())
    }

    fn damage(&self) -> Fault {
        let path = &self.source.path;
        unreadable(path)
            .because(format!("its sound is damaged at {}", self.time()))
            .hint(format!(
                "export or copy it again, or keep what can be read: ffmpeg -i {} repaired.wav",
                quoted(path)
            ))
    }

    /// How far it was decoded.
    fn time(&self) -> String {
        format!("{:.2} s", self.position as f64 / f64::from(self.rate))
    }
}

impl Line {
    /// Takes note of a packet with time stamps in `base`.
    fn follow(&mut self, packet: &Packet, base: Rational) {
        let Some(pts) = packet.pts() else {
            self.gapless = false;
            return;
        };
        if let Some(end) = self.end {
            let off = pts.saturating_sub(end).unsigned_abs();
            self.gapless &= off <= 1 || off as f64 * f64::from(base) <= LEAD;
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

fn interleave<const N: usize>(
    frame: &frame::Audio,
    out: &mut Vec<f32>,
    sample: impl Fn([u8; N]) -> f32,
) {
    let channels = usize::from(frame.channels());
    let start = out.len();
    out.resize(start + frame.samples() * channels, 0.0);
    // A packed frame is one plane of all channels.
    let step = if frame.is_planar() { channels } else { 1 };
    for plane in 0..frame.planes() {
        let places = out[start..].iter_mut().skip(plane).step_by(step);
        for (place, &bytes) in places.zip(frame.data(plane).as_chunks().0) {
            *place = sample(bytes);
        }
    }
}
