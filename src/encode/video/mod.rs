//! Composed frames -> the clip's video stream.
//!
//! - `setup`: configures and opens the encoder
//! - `frame_pool`: FFmpeg's frames, reused
//! - `yuv420`, `yuva444`: composed frame -> the encoder's pixel format

mod frame_pool;
mod setup;
mod yuv420;
mod yuva444;

use anyhow::Result;
use ff::format;
use ff::format::context::Output;
use ffmpeg_next as ff;

use self::frame_pool::FramePool;
use self::setup::EncoderSetup;
use self::yuv420::draw_yuv420;
use self::yuva444::to_yuva444;
use super::codec::PixelFormat;
use super::composed::ComposedFrame;
use super::segment::SEGMENT_FRAMES;
use super::spec::ClipSpec;
use super::track::{Track, set_codec_tag};
use crate::image::Picture;
use crate::image::yuv420::{Yuv420, YuvConverter};

/// The clip's video stream.
pub(super) struct VideoTrack {
    pub(super) track: Track,
    /// The next frame of the clip, or of its part.
    pub(super) next: u64,
    setup: EncoderSetup,
    pixels: PixelFormat,
    frames: FramePool,
    /// Whether the encoder must be flushed before it is closed.
    must_flush: bool,
    converter: YuvConverter,
    /// The planes of the new mouth.
    patch: Yuv420,
    /// The frame in R G B, for an encoder that does not take [`Yuv420`].
    whole: Picture,
}

impl VideoTrack {
    /// Gives the clip the stream, and opens the encoder.
    pub(super) fn add(output: &mut Output, spec: &ClipSpec) -> Result<Self> {
        let settings = &spec.format.video;
        let setup = EncoderSetup {
            spec: spec.clone(),
            global_header: output
                .format()
                .flags()
                .contains(format::Flags::GLOBAL_HEADER),
        };
        let (pixels, size) = setup.frame();
        let (codec, encoder) = setup.open()?;
        let base = setup.base();
        let track = Track::add(output, codec, encoder, base)?;
        if let Some(mut stream) = output.stream_mut(track.stream) {
            stream.set_avg_frame_rate(base.invert());
            set_codec_tag(&stream, settings.encoder.id, spec.format.container);
        }
        Ok(Self {
            track,
            next: 0,
            pixels: settings.encoder.pixels,
            frames: FramePool::new(pixels, size),
            must_flush: settings.encoder.name == "libsvtav1",
            converter: YuvConverter::default(),
            patch: Yuv420::default(),
            whole: Picture::default(),
            setup,
        })
    }

    /// Encodes the next frame. A segment starts with a new encoder.
    pub(super) fn write(&mut self, output: &mut Output, composed: &ComposedFrame) -> Result<()> {
        if self.next > 0 && self.next.is_multiple_of(SEGMENT_FRAMES) {
            let setup = &self.setup;
            self.track
                .restart(output, self.next as i64, || Ok(setup.open()?.1))?;
        }
        let frame = self.frames.take();
        match self.pixels {
            PixelFormat::Yuv420 => {
                draw_yuv420(composed, &mut self.converter, &mut self.patch, frame)?;
            }
            PixelFormat::Yuva444 => {
                composed.draw(&mut self.whole)?;
                to_yuva444(&self.whole, frame);
            }
        }
        frame.set_pts(Some(self.next as i64 - self.track.origin));
        self.next += 1;
        self.track.send(output, frame)
    }

    /// Encodes what the encoder still holds.
    pub(super) fn finish(&mut self, output: &mut Output) -> Result<()> {
        self.must_flush = false;
        self.track.finish(output)
    }
}

impl Drop for VideoTrack {
    fn drop(&mut self) {
        // SVT-AV1 complains on stderr if it is closed without a flush, and hangs if it never got a frame.
        if self.must_flush {
            let blank = (self.next as i64 == self.track.origin).then(|| self.frames.take());
            self.track
                .abandon(blank.as_deref().map(std::ops::Deref::deref));
        }
    }
}
