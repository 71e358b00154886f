//! Frames -> the clip's picture stream.

use anyhow::{Context as _, Result};
use ff::codec::encoder::Encoder;
use ff::format::context::Output;
use ff::{Dictionary, Rational, codec, color, encoder, format, frame};
use ffmpeg_next as ff;

use super::clip::ClipSpec;
use super::codec::Pixels;
use super::container::Container;
use super::track::Track;
use crate::background::Background;
use crate::encode::composed::ComposedFrame;
use crate::encode::segment::SEGMENT;
use crate::error::Fault;
use crate::image::yuv420::{self, Converter, Yuv420};
use crate::image::{Picture, Size};

/// Bits for each pixel where the encoder knows no rate factor: 4.6 Mbit/s at 1280x720 and 25 frames a second.
const BITS_PER_PIXEL: f64 = 0.2;

pub(super) struct VideoTrack {
    pub(super) track: Track,
    pub(super) next: u64,
    /// How the encoder of the next segment is started.
    opening: Opening,
    pixels: Pixels,
    free: FreeFrames,
    /// Whether the encoder must be told of the end before it is closed.
    must_end: bool,
    converter: Converter,
    /// The planes of what the networks painted.
    changed: Yuv420,
    /// The frame in R G B, for an encoder that takes no [`Yuv420`].
    whole: Picture,
}

/// How an encoder is started.
struct Opening {
    spec: ClipSpec,
    /// Whether the file has one place for what a decoder must know beforehand.
    global_header: bool,
}

impl Opening {
    /// Time base of the frames.
    fn base(&self) -> Rational {
        Rational(self.spec.fps.den as i32, self.spec.fps.num as i32)
    }

    /// The pixels of the frames and their size: even where the encoder takes no other.
    fn frame(&self) -> (format::Pixel, Size) {
        let size = self.spec.size;
        match self.spec.format.video.encoder.pixels {
            Pixels::Yuv420 => (format::Pixel::YUV420P, yuv420::even(size)),
            Pixels::Yuva444 => (format::Pixel::YUVA444P10LE, size),
        }
    }

    fn open(&self) -> Result<(ff::Codec, Encoder)> {
        let spec = &self.spec;
        let settings = &spec.format.video;
        let name = settings.encoder.name;
        let cannot_start = |e: ff::Error| {
            Fault::machine(format!(
                "cannot start the video encoder {name} for {} at {} fps",
                spec.size, spec.fps
            ))
            .because(e)
            .hint("choose another one with --codec")
        };
        let codec =
            encoder::find_by_name(name).ok_or_else(|| cannot_start(ff::Error::EncoderNotFound))?;
        let mut video = codec::context::Context::new_with_codec(codec)
            .encoder()
            .video()?;
        let (pixels, size) = self.frame();
        video.set_width(size.width);
        video.set_height(size.height);
        video.set_format(pixels);
        video.set_time_base(self.base());
        if spec.format.container == Container::Fragments {
            // A fragment begins with a key frame: one each two seconds, for readers that wait.
            video.set_gop((2.0 * spec.fps.as_f64()).ceil() as u32);
        }
        video.set_frame_rate(Some(self.base().invert()));
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        if settings.crf.is_none() {
            let area = f64::from(spec.size.width) * f64::from(spec.size.height);
            video.set_bit_rate((area * spec.fps.as_f64() * BITS_PER_PIXEL) as usize);
        }
        if self.global_header {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = Dictionary::new();
        for (key, value) in settings.options(spec.encoder_threads()) {
            options.set(key, &value);
        }
        if spec.deterministic {
            options.set("flags", "+bitexact");
            if name == "libx264" {
                // With B-frames, x264's macroblock tree reads memory that nobody has set (seen in 0.164, at any size).
                options.set("mbtree", "0");
            }
        }
        let encoder = video.open_with(options).map_err(cannot_start)?;
        Ok((codec, encoder.0.0))
    }
}

impl VideoTrack {
    pub(super) fn add(muxer: &mut Output, spec: &ClipSpec) -> Result<Self> {
        let settings = &spec.format.video;
        let opening = Opening {
            spec: spec.clone(),
            global_header: muxer
                .format()
                .flags()
                .contains(format::Flags::GLOBAL_HEADER),
        };
        let (pixels, size) = opening.frame();
        let (codec, encoder) = opening.open()?;
        let base = opening.base();
        let track = Track::add(muxer, codec, encoder, base)?;
        if let Some(mut stream) = muxer.stream_mut(track.stream) {
            stream.set_avg_frame_rate(base.invert());
            if settings.encoder.id == codec::Id::HEVC && spec.format.container.has_boxes() {
                tag_hvc1(&stream);
            }
        }
        Ok(Self {
            track,
            next: 0,
            pixels: settings.encoder.pixels,
            free: FreeFrames::new(pixels, size),
            must_end: settings.encoder.name == "libsvtav1",
            converter: Converter::default(),
            changed: Yuv420::default(),
            whole: Picture::default(),
            opening,
        })
    }

    pub(super) fn write(&mut self, muxer: &mut Output, composed: &ComposedFrame) -> Result<()> {
        if self.next > 0 && self.next.is_multiple_of(SEGMENT) {
            let opening = &self.opening;
            self.track
                .restart(muxer, self.next as i64, || Ok(opening.open()?.1))?;
        }
        let frame = self.free.take();
        match self.pixels {
            Pixels::Yuv420 => {
                draw_yuv420(composed, &mut self.converter, &mut self.changed, frame)?;
            }
            Pixels::Yuva444 => {
                composed.draw(&mut self.whole)?;
                to_yuva444(&self.whole, frame);
            }
        }
        frame.set_pts(Some(self.next as i64 - self.track.origin));
        self.next += 1;
        self.track.send(muxer, frame)
    }

    pub(super) fn finish(&mut self, muxer: &mut Output) -> Result<()> {
        self.must_end = false;
        self.track.finish(muxer)
    }
}

impl Drop for VideoTrack {
    fn drop(&mut self) {
        // SVT-AV1 complains on stderr when it is closed in the middle, and waits for ever when it never got a frame.
        if self.must_end {
            let blank = (self.next as i64 == self.track.origin).then(|| self.free.take());
            self.track
                .abandon(blank.as_deref().map(std::ops::Deref::deref));
        }
    }
}

/// Frames for the encoder: one is used again once the encoder has let go of it.
struct FreeFrames {
    frames: Vec<frame::Video>,
    pixels: format::Pixel,
    size: Size,
}

impl FreeFrames {
    fn new(pixels: format::Pixel, size: Size) -> Self {
        Self {
            frames: Vec::new(),
            pixels,
            size,
        }
    }

    /// A frame that nobody else looks at, with the content of its last use.
    fn take(&mut self) -> &mut frame::Video {
        let free = self.frames.iter().position(is_free);
        let at = free.unwrap_or_else(|| {
            let Size { width, height } = self.size;
            let mut frame = frame::Video::new(self.pixels, width, height);
            // ProRes takes them from the frame, not from the encoder.
            frame.set_color_space(color::Space::BT709);
            frame.set_color_range(color::Range::MPEG);
            frame.set_color_primaries(color::Primaries::BT709);
            frame.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
            // An encoder may read past the end of a row: what it finds there must not be chance.
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
#[expect(unsafe_code, reason = "the crate does not tell")]
fn is_free(frame: &frame::Video) -> bool {
    // SAFETY: the frame is borrowed, and FFmpeg only reads the counts of its buffers, which are atomic.
    unsafe { ff::ffi::av_frame_is_writable(frame.as_ptr().cast_mut()) > 0 }
}

/// Makes `frame` the background's planes, with what the networks painted converted over them.
fn draw_yuv420(
    composed: &ComposedFrame,
    converter: &mut Converter,
    changed: &mut Yuv420,
    frame: &mut frame::Video,
) -> Result<()> {
    let Background { yuv420, area, .. } = composed.background.as_ref();
    let planes = yuv420.as_ref();
    let planes = planes.context("a background came without its planes")?;
    put(planes, frame, 0, 0);
    if let Some(patch) = &composed.patch {
        converter.convert(patch, changed)?;
        put(changed, frame, area.x0 as usize, area.y0 as usize);
    }
    Ok(())
}

/// Copies `planes` into `frame`, from this even column and row on.
fn put(planes: &Yuv420, frame: &mut frame::Video, column: usize, row: usize) {
    for (index, plane) in planes.planes().into_iter().enumerate() {
        let stride = frame.stride(index);
        let start = row / plane.step * stride + column / plane.step;
        let rows = frame.data_mut(index)[start..].chunks_mut(stride);
        for (to, from) in rows.zip(plane.values.chunks_exact(plane.width)) {
            to[..plane.width].copy_from_slice(from);
        }
    }
}

/// Names an H.265 stream `hvc1`: Apple's players do not open FFmpeg's usual `hev1`.
#[expect(unsafe_code, reason = "the crate has no setter for a stream's tag")]
pub(super) fn tag_hvc1(stream: &format::stream::StreamMut) {
    // SAFETY: the parameters belong to the stream, which is borrowed here, and the tag is a plain number in them.
    unsafe {
        (*stream.parameters().as_mut_ptr()).codec_tag = u32::from_le_bytes(*b"hvc1");
    }
}

/// R G B, full range, and alpha -> Y U V A 4:4:4, BT.709, limited range (alpha full), 10 bit.
fn to_yuva444(picture: &Picture, frame: &mut frame::Video) {
    let (width, height) = (picture.width, picture.height);
    for (plane, (weights, offset)) in yuv10_weights().into_iter().enumerate() {
        let stride = frame.stride(plane);
        let rows = frame.data_mut(plane).chunks_exact_mut(stride);
        for (to, from) in rows.zip(picture.pixels.chunks_exact(width * 3)) {
            for (to, rgb) in to.chunks_exact_mut(2).zip(from.chunks_exact(3)) {
                let sum: i32 = (0..3).map(|c| weights[c] * i32::from(rgb[c])).sum();
                let value = (sum + offset) >> WEIGHT_BITS;
                to.copy_from_slice(&(value as u16).to_le_bytes());
            }
        }
    }
    let stride = frame.stride(3);
    for (y, to) in frame
        .data_mut(3)
        .chunks_exact_mut(stride)
        .take(height)
        .enumerate()
    {
        for (x, to) in to.chunks_exact_mut(2).take(width).enumerate() {
            let alpha = picture.alpha.as_ref().map_or(255, |a| a[y * width + x]);
            let value = (u32::from(alpha) * 1023 + 127) / 255;
            to.copy_from_slice(&(value as u16).to_le_bytes());
        }
    }
}

/// Bits behind the point of the integer weights.
const WEIGHT_BITS: u32 = 16;

/// For each of Y, U and V: the weights of R, G and B (0..=255), and what is added, with half a level to round
/// (ITU-R BT.709-6, 3: 10-bit Y in 64..=940, U and V in 64..=960 about 512).
fn yuv10_weights() -> [([i32; 3], i32); 3] {
    const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];
    let fixed = |value: f64| (value * f64::from(1 << WEIGHT_BITS)).round() as i32;
    let luma = LUMA.map(|weight| fixed(weight * 876.0 / 255.0));
    let chroma = |of: usize| {
        let spread = 2.0 * (1.0 - LUMA[of]);
        [0, 1, 2].map(|c| {
            let difference = if c == of { 1.0 - LUMA[c] } else { -LUMA[c] };
            fixed(difference / spread * 896.0 / 255.0)
        })
    };
    [
        (luma, fixed(64.5)),
        (chroma(2), fixed(512.5)),
        (chroma(0), fixed(512.5)),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::image::Rect;
    use crate::image::pool::Pool;

    /// A picture without two neighbours alike.
    fn noise(width: usize, height: usize, step: usize) -> Picture {
        let mut picture = Picture::new(width, height);
        for (i, value) in picture.pixels.iter_mut().enumerate() {
            *value = (i * i / 7 + i * step) as u8;
        }
        picture
    }

    fn planes(picture: &Picture) -> Yuv420 {
        let mut planes = Yuv420::default();
        Converter::default().convert(picture, &mut planes).unwrap();
        planes
    }

    #[test]
    fn a_changed_rectangle_gives_the_bytes_of_the_whole_frame() {
        for (width, height, [x0, y0, x1, y1]) in [
            (64, 48, [10, 8, 40, 38]),
            (64, 48, [11, 9, 40, 38]),
            (65, 47, [33, 15, 64, 46]),
            (65, 47, [34, 16, 65, 47]),
            (65, 47, [0, 0, 65, 47]),
            (7, 5, [6, 4, 7, 5]),
        ] {
            let rect = Rect { x0, y0, x1, y1 };
            let whole = noise(width, height, 3);
            let area = yuv420::grown(rect, whole.size());
            let mut under = Picture::default();
            under.copy_part(&whole, area);
            let mut patch = Pool::<Picture>::default().take();
            patch.copy_from(&under);
            let mouth = noise(rect.width(), rect.height(), 11);
            patch.put(&mouth, rect.within(area));
            let composed = ComposedFrame {
                background: Arc::new(Background {
                    place: 0,
                    rect,
                    crop: Picture::default(),
                    area,
                    under,
                    yuv420: Some(planes(&whole)),
                    rgb: Some(whole),
                }),
                patch: Some(patch),
            };
            let mut drawn = Picture::default();
            composed.draw(&mut drawn).unwrap();
            let expected = planes(&drawn);
            let size = yuv420::even(drawn.size());
            let mut free = FreeFrames::new(format::Pixel::YUV420P, size);
            let frame = free.take();
            let (converter, changed) = (&mut Converter::default(), &mut Yuv420::default());
            draw_yuv420(&composed, converter, changed, frame).unwrap();
            for (index, plane) in expected.planes().iter().enumerate() {
                let rows = frame.data(index).chunks(frame.stride(index));
                for (row, expected) in rows.zip(plane.values.chunks_exact(plane.width)) {
                    assert_eq!(&row[..plane.width], expected, "{width}x{height} {rect}");
                }
            }
        }
    }

    #[test]
    fn ten_bit_colours_are_bt709_limited_and_keep_alpha() {
        for (rgb, alpha, yuva) in [
            ([255, 255, 255], None, [940, 512, 512, 1023]),
            ([0, 0, 0], Some(0), [64, 512, 512, 0]),
            ([255, 0, 0], Some(128), [250, 409, 960, 514]),
            ([0, 255, 0], Some(255), [691, 167, 105, 1023]),
            ([0, 0, 255], Some(1), [127, 960, 471, 4]),
        ] {
            let picture = Picture {
                width: 3,
                height: 5,
                pixels: rgb.repeat(15),
                alpha: alpha.map(|a| vec![a; 15]),
            };
            let mut frame = frame::Video::new(format::Pixel::YUVA444P10LE, 3, 5);
            to_yuva444(&picture, &mut frame);
            for (plane, want) in yuva.into_iter().enumerate() {
                let last = 4 * frame.stride(plane) + 4;
                for at in [0, last] {
                    let data = &frame.data(plane)[at..at + 2];
                    let got = u16::from_le_bytes([data[0], data[1]]);
                    assert!(
                        got.abs_diff(want) <= 1,
                        "{rgb:?}: plane {plane} is {got}, not {want}"
                    );
                }
            }
        }
    }
}
