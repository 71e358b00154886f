//! How the video encoder is configured.

use anyhow::Result;
use ff::codec::encoder::Encoder;
use ff::{Dictionary, Rational, codec, color, encoder, format};
use ffmpeg_next as ff;

use crate::encode::codec::PixelFormat;
use crate::encode::container::Container;
use crate::encode::spec::ClipSpec;
use crate::error::{Fault, exhausted};
use crate::image::Size;
use crate::image::yuv420;

/// Bits per pixel for encoders without a rate factor: 4.6 Mbit/s at 1280x720 and 25 frames per second.
const BITS_PER_PIXEL: f64 = 0.2;

/// Opens the encoder: one for each segment.
pub(super) struct EncoderSetup {
    pub(super) spec: ClipSpec,
    /// Whether the container stores the decoder's parameters once, and not in the packets.
    pub(super) global_header: bool,
}

impl EncoderSetup {
    /// Time base of the frames.
    pub(super) fn base(&self) -> Rational {
        Rational(self.spec.fps.den as i32, self.spec.fps.num as i32)
    }

    /// The format of the frames and their size, which is even if the encoder requires it.
    pub(super) fn frame(&self) -> (format::Pixel, Size) {
        let size = self.spec.size;
        match self.spec.format.video.encoder.pixels {
            PixelFormat::Yuv420 => (format::Pixel::YUV420P, yuv420::even(size)),
            PixelFormat::Yuva444 => (format::Pixel::YUVA444P10LE, size),
        }
    }

    /// Starts an encoder.
    pub(super) fn open(&self) -> Result<(ff::Codec, Encoder)> {
        let name = self.spec.format.video.encoder.name;
        let codec = encoder::find_by_name(name)
            .ok_or_else(|| self.cannot_start(ff::Error::EncoderNotFound))?;
        let mut video = codec::context::Context::new_with_codec(codec)
            .encoder()
            .video()?;
        self.configure(&mut video);
        let encoder = video
            .open_with(self.options())
            .map_err(|e| self.cannot_start(e))?;
        Ok((codec, encoder.0.0))
    }

    fn cannot_start(&self, error: ff::Error) -> Fault {
        let ClipSpec { size, fps, .. } = self.spec;
        let name = self.spec.format.video.encoder.name;
        let message = format!("cannot start the video encoder {name} for {size} at {fps} fps");
        // Encoders only say that they failed.
        if let Some(lack) = exhausted() {
            return Fault::machine(message).because(lack);
        }
        Fault::machine(message)
            .because(error)
            .hint("choose another one with --codec")
    }

    fn configure(&self, video: &mut encoder::video::Video) {
        let spec = &self.spec;
        let (pixels, size) = self.frame();
        video.set_width(size.width);
        video.set_height(size.height);
        video.set_format(pixels);
        video.set_time_base(self.base());
        if spec.format.container == Container::Fragments {
            // A fragment begins with a key frame: one every two seconds, so that readers wait no longer.
            video.set_gop((2.0 * spec.fps.as_f64()).ceil() as u32);
        }
        video.set_frame_rate(Some(self.base().invert()));
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        if spec.format.video.crf.is_none() {
            let area = f64::from(spec.size.width) * f64::from(spec.size.height);
            video.set_bit_rate((area * spec.fps.as_f64() * BITS_PER_PIXEL) as usize);
        }
        if self.global_header {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
    }

    fn options(&self) -> Dictionary<'static> {
        let spec = &self.spec;
        let settings = &spec.format.video;
        let mut options = Dictionary::new();
        for (key, value) in settings.options(spec.encoder_threads()) {
            options.set(key, &value);
        }
        if spec.deterministic {
            options.set("flags", "+bitexact");
            if settings.encoder.name == "libx264" {
                // With B-frames, x264's macroblock tree reads uninitialised memory (seen in 0.164, at any size).
                options.set("mbtree", "0");
            }
        }
        options
    }
}
