//! The frames of a video file, one after the other.

use anyhow::Result;
use ff::codec::packet::{Packet, Ref};
use ff::decoder;
use ff::format::context::Input;
use ff::frame;
use ffmpeg_next as ff;

use super::colour_space::RgbConverter;
use super::file::{VideoFile, open_decoder, open_input, unreadable};
use super::frame_table::FrameTable;
use super::planes::PlanarPicture;
use crate::error::Fault;
use crate::image::{Picture, Size};

impl VideoFile {
    /// Reads the frames from the first one on.
    pub fn frames(&self) -> Result<VideoReader> {
        VideoReader::new(self.clone())
    }

    /// Lists the frames. If the packets do not suffice, the whole file is decoded once.
    pub fn frame_table(&self) -> Result<FrameTable> {
        let listed = if self.has_one_packet_per_frame() {
            self.frames()?.frame_table_from_packets()?
        } else {
            None
        };
        let frame_table = match listed {
            Some(frame_table) => frame_table,
            None => self.frames()?.frame_table_from_decoding()?,
        };
        if frame_table.timestamps.is_empty() {
            return Err(unreadable(&self.path)
                .because("it has no frames")
                .hint("the file looks truncated; export or copy it again")
                .into());
        }
        Ok(frame_table)
    }
}

/// Decodes the frames of a [`VideoFile`] in the order in which they are shown.
pub struct VideoReader {
    file: VideoFile,
    input: Input,
    decoder: decoder::Video,
    /// Time base of the stream, in seconds.
    time_base: f64,
    decoded: frame::Video,
    converter: RgbConverter,
    /// A converted frame that is not upright yet.
    stored: Vec<u8>,
    /// Timestamp of the latest frame, in seconds.
    latest: Option<f64>,
}

impl VideoReader {
    pub(super) fn new(file: VideoFile) -> Result<Self> {
        let input = open_input(&file.path)?;
        let stream = input
            .stream(file.stream)
            .ok_or_else(|| unreadable(&file.path).because("it changed while it was in use"))?;
        let decoder = open_decoder(&file.path, &stream)?;
        let time_base = f64::from(stream.time_base());
        Ok(Self {
            file,
            input,
            decoder,
            time_base,
            decoded: frame::Video::empty(),
            converter: RgbConverter::default(),
            stored: Vec::new(),
            latest: None,
        })
    }

    /// Decodes the next frame into `into`, upright. Returns its timestamp in seconds from the start of the stream, or
    /// None at the end.
    pub fn next(&mut self, into: &mut Picture) -> Result<Option<f64>> {
        let time = self.skip()?;
        if time.is_some() {
            self.picture(into)?;
        }
        Ok(time)
    }

    /// Decodes the next frame without converting it; [`VideoReader::picture`] converts it.
    pub fn skip(&mut self) -> Result<Option<f64>> {
        loop {
            match self.decoder.receive_frame(&mut self.decoded) {
                Ok(()) => break,
                Err(ff::Error::Eof) => return Ok(None),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => {
                    self.feed_decoder()?;
                }
                Err(e) => return Err(self.damaged(e.to_string()).into()),
            }
        }
        if self.decoded.is_corrupt() || self.decoded.has_decode_errors() {
            return Err(self.damaged("a frame is damaged").into());
        }
        let time = match self.timestamp() {
            Some(timestamp) => self.seconds(timestamp),
            // Raw streams have no timestamps.
            None => self.latest.map_or(0.0, |latest| {
                latest + 1.0 / self.file.frame_rate.unwrap_or(25.0)
            }),
        };
        self.latest = Some(time);
        Ok(self.latest)
    }

    /// Timestamp of the frame that was decoded last, in the time base of the stream.
    fn timestamp(&self) -> Option<i64> {
        self.decoded.pts().or_else(|| self.decoded.timestamp())
    }

    fn seconds(&self, timestamp: i64) -> f64 {
        timestamp.saturating_sub(self.file.start) as f64 * self.time_base
    }

    /// Converts the frame that was decoded last to R G B, upright, with alpha if the video has it.
    pub fn picture(&mut self, into: &mut Picture) -> Result<()> {
        let stored = Size {
            width: self.decoded.width(),
            height: self.decoded.height(),
        };
        let display_matrix = self.file.display_matrix;
        let size = display_matrix.display_size(stored);
        if size != self.file.size {
            let text = format!("its frame size changes from {} to {size}", self.file.size);
            return Err(unreadable(&self.file.path)
                .because(text)
                .hint("encode it again with a single size")
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
            display_matrix.apply::<4>(&self.stored, stored, &mut upright);
            into.set_rgba(&upright);
        } else {
            display_matrix.apply::<3>(&self.stored, stored, &mut into.pixels);
            into.alpha = None;
        }
        Ok(())
    }

    /// Copies the planes of the frame that was decoded last as they are stored.
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
            .because("its pixel format changes")
            .hint("encode it again with a single pixel format")
            .into())
    }

    /// Seeks to the last key frame at or before `seconds`. Containers seek inexactly: the timestamp of the next frame
    /// says where decoding continues.
    pub fn seek(&mut self, seconds: f64) -> Result<()> {
        let start = self.file.start as f64 * self.time_base;
        let timestamp = ((seconds + start) * f64::from(ff::ffi::AV_TIME_BASE)).ceil() as i64;
        self.input
            .seek(timestamp, ..timestamp)
            .map_err(|e| unreadable(&self.file.path).because(format!("cannot seek in it: {e}")))?;
        self.decoder.flush();
        self.latest = None;
        Ok(())
    }

    /// Sends the decoder the next packet.
    fn feed_decoder(&mut self) -> Result<()> {
        match self.read_packet()? {
            Some(packet) => self.decoder.send_packet(&packet),
            None => self.decoder.send_eof(),
        }
        .map_err(|e| self.damaged(e.to_string()).into())
    }

    /// The next packet of the video stream; None at the end.
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

    /// Lists the frames by their packets, without decoding. None if the packets do not suffice.
    pub(super) fn frame_table_from_packets(mut self) -> Result<Option<FrameTable>> {
        let mut shown: Vec<(f64, bool)> = Vec::new();
        let mut packets = 0;
        while let Some(packet) = self.read_packet()? {
            packets += 1;
            if packet.is_corrupt() {
                return Err(self.damaged("it is truncated").into());
            }
            // Frames before the first key frame are never shown.
            let starts_mid_stream = packets == 1 && !packet.is_key();
            let Some(timestamp) = packet.pts().filter(|_| !starts_mid_stream) else {
                return Ok(None);
            };
            let time = self.seconds(timestamp);
            self.latest = Some(time);
            if !is_discarded(&packet) {
                shown.push((time, packet.is_key()));
            }
        }
        if let Some(stated) = self.file.frames.filter(|&n| n > packets) {
            let text =
                format!("its header says {stated} frames, but the file ends after {packets}");
            return Err(unreadable(&self.file.path)
                .because(text)
                .hint("the file looks truncated; export or copy it again")
                .into());
        }
        shown.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let distinct = shown.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut frame_table = FrameTable::default();
        for (time, is_key) in shown {
            frame_table.push(time, is_key);
        }
        Ok(distinct.then_some(frame_table))
    }

    /// Lists the frames by decoding all of them.
    pub(super) fn frame_table_from_decoding(mut self) -> Result<FrameTable> {
        let mut frame_table = FrameTable::default();
        let mut has_timestamps = true;
        while let Some(time) = self.skip()? {
            has_timestamps &= self.timestamp().is_some();
            frame_table.push(time, self.decoded.is_key());
        }
        if !has_timestamps {
            frame_table.key_frames.truncate(1);
        }
        Ok(frame_table)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Fault {
        let after = self.latest.unwrap_or(0.0);
        unreadable(&self.file.path)
            .because(format!("it is damaged after {after:.2} s: {what}"))
            .hint("export or copy it again")
    }
}

/// Whether the container marks the packet's frame as decoded for others only, and not shown.
#[expect(unsafe_code, reason = "this flag has no safe wrapper")]
fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is that of a live packet, and `flags` is a plain number.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ff::ffi::AV_PKT_FLAG_DISCARD != 0
}
