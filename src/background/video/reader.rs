//! The pictures of a video file, one after the other.

use anyhow::Result;
use ff::codec::packet::{Packet, Ref};
use ff::decoder;
use ff::format::context::Input;
use ff::frame;
use ffmpeg_next as ff;

use super::colours::Converter;
use super::file::{VideoFile, open_decoder, open_input, unreadable};
use super::index::Timeline;
use super::planes::PlanarPicture;
use crate::error::Fault;
use crate::image::{Picture, Size};

impl VideoFile {
    /// A reader over its pictures, from the first.
    pub fn frames(&self) -> Result<VideoReader> {
        VideoReader::new(self.clone())
    }

    /// Lists its pictures. Where the packets do not tell for certain, all of it is decoded once.
    pub fn timeline(&self) -> Result<Timeline> {
        let listed = if self.has_a_packet_for_each_picture() {
            self.frames()?.timeline_of_packets()?
        } else {
            None
        };
        let timeline = match listed {
            Some(timeline) => timeline,
            None => self.frames()?.timeline_of_pictures()?,
        };
        if timeline.seconds.is_empty() {
            return Err(unreadable(&self.path)
                .because("it has no pictures")
                .hint("the file looks cut off; export or copy it again")
                .into());
        }
        Ok(timeline)
    }
}

/// Decodes a [`VideoFile`] in the order in which its pictures are shown.
pub struct VideoReader {
    file: VideoFile,
    input: Input,
    decoder: decoder::Video,
    /// Seconds that one unit of the stream's time lasts.
    unit: f64,
    decoded: frame::Video,
    converter: Converter,
    /// A picture as stored, where it has to be turned.
    stored: Vec<u8>,
    /// When the latest picture is shown, in seconds.
    latest: Option<f64>,
}

impl VideoReader {
    pub(super) fn new(file: VideoFile) -> Result<Self> {
        let input = open_input(&file.path)?;
        let stream = input
            .stream(file.stream)
            .ok_or_else(|| unreadable(&file.path).because("it changed while it was in use"))?;
        let decoder = open_decoder(&file.path, &stream)?;
        let unit = f64::from(stream.time_base());
        Ok(Self {
            file,
            input,
            decoder,
            unit,
            decoded: frame::Video::empty(),
            converter: Converter::default(),
            stored: Vec::new(),
            latest: None,
        })
    }

    /// Decodes the next picture into `into`, upright, and tells when it is shown: in seconds from the stream's start.
    pub fn next(&mut self, into: &mut Picture) -> Result<Option<f64>> {
        let time = self.skip()?;
        if time.is_some() {
            self.picture(into)?;
        }
        Ok(time)
    }

    /// Decodes the next picture without converting it: [`VideoReader::picture`] does, if it is wanted.
    pub fn skip(&mut self) -> Result<Option<f64>> {
        loop {
            match self.decoder.receive_frame(&mut self.decoded) {
                Ok(()) => break,
                Err(ff::Error::Eof) => return Ok(None),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => self.feed()?,
                Err(e) => return Err(self.damaged(e.to_string()).into()),
            }
        }
        if self.decoded.is_corrupt() || self.decoded.has_decode_errors() {
            return Err(self.damaged("a picture is broken").into());
        }
        let time = match self.stamp() {
            Some(stamp) => self.seconds(stamp),
            // Raw streams have no clock of their own.
            None => self.latest.map_or(0.0, |latest| {
                latest + 1.0 / self.file.frame_rate.unwrap_or(25.0)
            }),
        };
        self.latest = Some(time);
        Ok(self.latest)
    }

    /// The time of the picture that was decoded last, in the stream's units.
    fn stamp(&self) -> Option<i64> {
        self.decoded.pts().or_else(|| self.decoded.timestamp())
    }

    fn seconds(&self, stamp: i64) -> f64 {
        stamp.saturating_sub(self.file.start) as f64 * self.unit
    }

    /// Converts the picture that was decoded last: R G B, upright, transparent where the video is.
    pub fn picture(&mut self, into: &mut Picture) -> Result<()> {
        let stored = Size {
            width: self.decoded.width(),
            height: self.decoded.height(),
        };
        let turn = self.file.turn;
        let size = turn.size(stored);
        if size != self.file.size {
            let text = format!(
                "its pictures change their size: {} at first, {size} later",
                self.file.size
            );
            return Err(unreadable(&self.file.path)
                .because(text)
                .hint("encode it again in one size")
                .into());
        }
        let converted = self
            .converter
            .convert(&self.decoded)
            .map_err(|e| unreadable(&self.file.path).because(e))?;
        (into.width, into.height) = (size.width as usize, size.height as usize);
        let transparent = converted.format() == ff::format::Pixel::RGBA;
        let row = stored.width as usize * if transparent { 4 } else { 3 };
        self.stored.clear();
        for line in converted
            .data(0)
            .chunks(converted.stride(0))
            .take(stored.height as usize)
        {
            self.stored.extend_from_slice(&line[..row]);
        }
        if transparent {
            let mut upright = Vec::new();
            turn.apply::<4>(&self.stored, stored, &mut upright);
            into.set_rgba(&upright);
        } else {
            turn.apply::<3>(&self.stored, stored, &mut into.pixels);
            into.alpha = None;
        }
        Ok(())
    }

    /// Copies the planes of the picture that was decoded last, as they are stored.
    pub fn planes(&self, into: &mut PlanarPicture) -> Result<()> {
        let full_range = self.file.is_full_range();
        let copied = self
            .file
            .layout
            .is_some_and(|layout| layout.copy(&self.decoded, full_range, into));
        if copied {
            return Ok(());
        }
        Err(unreadable(&self.file.path)
            .because("its pictures change their pixel format")
            .hint("encode it again in one format")
            .into())
    }

    /// Goes on at the latest picture that can be decoded alone and is shown at `seconds` or earlier; as far as the file
    /// can be searched: the next picture tells where it went.
    pub fn seek(&mut self, seconds: f64) -> Result<()> {
        let start = self.file.start as f64 * self.unit;
        let stamp = ((seconds + start) * f64::from(ff::ffi::AV_TIME_BASE)).ceil() as i64;
        self.input
            .seek(stamp, ..stamp)
            .map_err(|e| unreadable(&self.file.path).because(format!("cannot seek in it: {e}")))?;
        self.decoder.flush();
        self.latest = None;
        Ok(())
    }

    /// Sends the decoder what the file has next.
    fn feed(&mut self) -> Result<()> {
        match self.read_packet()? {
            Some(packet) => self.decoder.send_packet(&packet),
            None => self.decoder.send_eof(),
        }
        .map_err(|e| self.damaged(e.to_string()).into())
    }

    /// The next packet of the picture stream, none at the end.
    fn read_packet(&mut self) -> Result<Option<Packet>> {
        let mut packet = Packet::empty();
        loop {
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.file.stream => return Ok(Some(packet)),
                Ok(()) => (),
                Err(ff::Error::Eof) => return Ok(None),
                Err(e) => return Err(self.damaged(e.to_string()).into()),
            }
        }
    }

    /// Lists the pictures by their packets, without decoding; none where the packets do not tell.
    pub(super) fn timeline_of_packets(mut self) -> Result<Option<Timeline>> {
        let mut shown: Vec<(f64, bool)> = Vec::new();
        let mut packets = 0;
        while let Some(packet) = self.read_packet()? {
            packets += 1;
            if packet.is_corrupt() {
                return Err(self.damaged("it is cut off").into());
            }
            // What comes before the first picture that can be decoded alone is never shown.
            let starts_in_the_middle = packets == 1 && !packet.is_key();
            let Some(stamp) = packet.pts().filter(|_| !starts_in_the_middle) else {
                return Ok(None);
            };
            let time = self.seconds(stamp);
            self.latest = Some(time);
            if !is_discarded(&packet) {
                shown.push((time, packet.is_key()));
            }
        }
        if let Some(promised) = self.file.frames.filter(|&n| n > packets) {
            let text =
                format!("its header promises {promised} pictures, the file ends after {packets}");
            return Err(unreadable(&self.file.path)
                .because(text)
                .hint("the file looks cut off; export or copy it again")
                .into());
        }
        shown.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let distinct = shown.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut timeline = Timeline::default();
        for (time, is_key) in shown {
            timeline.push(time, is_key);
        }
        Ok(distinct.then_some(timeline))
    }

    /// Lists the pictures by decoding all of them.
    pub(super) fn timeline_of_pictures(mut self) -> Result<Timeline> {
        let mut timeline = Timeline::default();
        let mut has_clock = true;
        while let Some(time) = self.skip()? {
            has_clock &= self.stamp().is_some();
            timeline.push(time, self.decoded.is_key());
        }
        if !has_clock {
            timeline.keys.truncate(1);
        }
        Ok(timeline)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Fault {
        let after = self.latest.unwrap_or(0.0);
        unreadable(&self.file.path)
            .because(format!("it is damaged after {after:.2} s: {what}"))
            .hint("export or copy it again")
    }
}

/// Whether the container says that the packet's picture is decoded for others only, and not shown.
#[expect(unsafe_code, reason = "this flag has no safe wrapper")]
fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is that of a live packet, and its flags are a plain number.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ff::ffi::AV_PKT_FLAG_DISCARD != 0
}
