//! The frames of a video file, one after the other.

use anyhow::Result;
use ff::codec::packet::{Packet, Ref};
use ff::decoder;
use ff::format::context::Input;
use ff::frame;
use ffmpeg_next as ff;

use super::colour_space::RgbConverter;
use super::deinterlace::{Decoded, Deinterlacer};
use super::file::{VideoFile, open_decoder, open_input, unreadable};
use super::frame_table::FrameTable;
use super::planes::PlanarPicture;
use super::tone_map::ToneMapper;
use crate::error::Fault;
use crate::image::{Picture, Size};

/// Frames at the start that show whether a video is interlaced, if its packets do not say so.
const FRAMES_CHECKED: usize = 12;

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

    /// Whether one of the first frames is interlaced.
    pub(crate) fn starts_interlaced(&self) -> Result<bool> {
        let mut reader = self.frames()?;
        for _ in 0..FRAMES_CHECKED {
            match reader.skip() {
                Ok(Some(_)) if reader.is_interlaced() => return Ok(true),
                Ok(Some(_)) => (),
                // A damaged frame is an error when it is shown.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(false)
    }
}

/// Decodes the frames of a [`VideoFile`] in the order in which they are shown.
pub struct VideoReader {
    file: VideoFile,
    input: Input,
    decoder: decoder::Video,
    /// Time base of the stream, in seconds.
    time_base: f64,
    /// The frame that was decoded last, of which the caller knows.
    current: Decoded,
    /// The one before it, and the one after it or why there is none: if frames are deinterlaced.
    previous: Option<Decoded>,
    ahead: Option<Result<Option<Decoded>>>,
    /// Frames decoded so far.
    count: u64,
    deinterlacer: Deinterlacer,
    tone_mapper: ToneMapper,
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
            current: Decoded::default(),
            previous: None,
            ahead: None,
            count: 0,
            deinterlacer: Deinterlacer::default(),
            tone_mapper: ToneMapper::default(),
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
        let next = match self.ahead.take() {
            Some(next) => next?,
            None => self.decode()?,
        };
        let Some(next) = next else { return Ok(None) };
        let time = next.time;
        let last = std::mem::replace(&mut self.current, next);
        // Keeping it takes one of the decoder's buffers.
        self.previous = (self.file.preparation.deinterlace && last.number > 0).then_some(last);
        Ok(Some(time))
    }

    fn decode(&mut self) -> Result<Option<Decoded>> {
        let mut frame = frame::Video::empty();
        loop {
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => break,
                Err(ff::Error::Eof) => return Ok(None),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => {
                    self.feed_decoder()?;
                }
                Err(e) => return Err(self.damaged(e.to_string()).into()),
            }
        }
        if frame.is_corrupt() || frame.has_decode_errors() {
            return Err(self.damaged("a frame is damaged").into());
        }
        let time = match timestamp(&frame) {
            Some(timestamp) => self.seconds(timestamp),
            // Raw streams have no timestamps.
            None => self.latest.map_or(0.0, |latest| {
                latest + 1.0 / self.file.frame_rate.unwrap_or(25.0)
            }),
        };
        self.latest = Some(time);
        self.count += 1;
        Ok(Some(Decoded {
            frame,
            number: self.count,
            time,
        }))
    }

    /// Whether the frame that was decoded last is interlaced.
    pub(super) fn is_interlaced(&self) -> bool {
        self.file.parity(&self.current.frame).is_some()
    }

    fn seconds(&self, timestamp: i64) -> f64 {
        timestamp.saturating_sub(self.file.start) as f64 * self.time_base
    }

    /// Converts the frame that was decoded last to R G B, upright, with alpha if the video has it.
    pub fn picture(&mut self, into: &mut Picture) -> Result<()> {
        let decoded = &self.current.frame;
        let stored = Size {
            width: decoded.width(),
            height: decoded.height(),
        };
        let display_matrix = self.file.display_matrix;
        if stored != self.file.stored {
            let [from, to] = [self.file.stored, stored].map(|s| display_matrix.display_size(s));
            return Err(unreadable(&self.file.path)
                .because(format!("its frame size changes from {from} to {to}"))
                .hint("encode it again with a single size")
                .into());
        }
        let converted = self
            .prepare()
            .map_err(|e| unreadable(&self.file.path).because(e))?;
        let stored = self.file.preparation.square.unwrap_or(stored);
        let size = display_matrix.display_size(stored);
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

    /// The frame that was decoded last in R G B (A), deinterlaced, in colours of BT.709 and scaled as the file says.
    fn prepare(&mut self) -> Result<frame::Video> {
        let preparation = self.file.preparation;
        let size = preparation.square.unwrap_or(self.file.stored);
        let parity = self.file.parity(&self.current.frame);
        let deinterlaced = match parity.filter(|_| preparation.deinterlace) {
            Some(parity) => {
                if self.ahead.is_none() {
                    self.ahead = Some(self.decode());
                }
                // An error in the next frame is returned when it is its turn.
                let next = self
                    .ahead
                    .as_ref()
                    .and_then(|next| next.as_ref().ok()?.as_ref());
                let previous = self.previous.as_ref();
                Some(
                    self.deinterlacer
                        .run(previous, &self.current, next, parity)?,
                )
            }
            None => None,
        };
        let frame = deinterlaced.as_ref().unwrap_or(&self.current.frame);
        if preparation.to_bt709 {
            let converted = self.tone_mapper.run(frame, self.file.tags)?;
            return self.converter.convert(&converted, size);
        }
        self.converter.convert(frame, size)
    }

    /// Copies the planes of the frame that was decoded last as they are stored.
    pub fn planes(&self, into: &mut PlanarPicture) -> Result<()> {
        let full_range = self.file.is_full_range();
        let copied = self
            .file
            .layout
            .is_some_and(|layout| layout.copy(&self.current.frame, full_range, into));
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
        self.current = Decoded::default();
        (self.previous, self.ahead) = (None, None);
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
            has_timestamps &= timestamp(&self.current.frame).is_some();
            frame_table.interlaced |= self.is_interlaced();
            frame_table.push(time, self.current.frame.is_key());
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

/// Timestamp of a frame in the time base of the stream.
fn timestamp(frame: &frame::Video) -> Option<i64> {
    frame.pts().or_else(|| frame.timestamp())
}

/// Whether the container marks the packet's frame as decoded for others only, and not shown.
#[expect(unsafe_code, reason = "this flag has no safe wrapper")]
fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is that of a live packet, and `flags` is a plain number.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ff::ffi::AV_PKT_FLAG_DISCARD != 0
}
