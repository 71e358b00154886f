//! Frames that are reused.

use ff::{color, format, frame};
use ffmpeg_next as ff;

use crate::image::Size;

/// Frames for the encoder. One is reused when the encoder holds no reference to it any more.
pub(super) struct FramePool {
    frames: Vec<frame::Video>,
    pixels: format::Pixel,
    size: Size,
}

impl FramePool {
    pub(super) fn new(pixels: format::Pixel, size: Size) -> Self {
        Self {
            frames: Vec::new(),
            pixels,
            size,
        }
    }

    /// A frame that the encoder does not use, with the content of its last use.
    pub(super) fn take(&mut self) -> &mut frame::Video {
        let free = self.frames.iter().position(is_free);
        let at = free.unwrap_or_else(|| {
            let Size { width, height } = self.size;
            let mut frame = frame::Video::new(self.pixels, width, height);
            // The ProRes encoder reads them from the frame, not from its context.
            frame.set_color_space(color::Space::BT709);
            frame.set_color_range(color::Range::MPEG);
            frame.set_color_primaries(color::Primaries::BT709);
            frame.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
            // An encoder may read past the end of a row: what it finds there must always be the same.
            for plane in 0..frame.planes() {
                frame.data_mut(plane).fill(0);
            }
            self.frames.push(frame);
            self.frames.len() - 1
        });
        &mut self.frames[at]
    }
}

/// Whether the encoder holds no reference to the frame's memory.
#[expect(unsafe_code, reason = "the crate has no such check")]
fn is_free(frame: &frame::Video) -> bool {
    // SAFETY: the frame is borrowed, and FFmpeg only reads the counts of its buffers, which are atomic.
    unsafe { ff::ffi::av_frame_is_writable(frame.as_ptr().cast_mut()) > 0 }
}
