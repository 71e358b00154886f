//! Frames -> the clip's picture stream.

use anyhow::{Context as _, Result};
use ff::format::context::Output;
use ff::{Dictionary, Rational, codec, color, format, frame};
use ffmpeg_next as ff;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    rgb_to_yuv420,
};

use super::mp4::Mp4Spec;
use super::track::{Track, find_encoder};
use crate::frame::Picture;

/// Constant rate factor of x264: visually lossless, about 45 dB on the bundled presenter.
const CRF: &str = "18";
/// On real footage the slower presets made no smaller file at this rate factor, at half the speed.
const PRESET: &str = "veryfast";

pub(super) struct VideoTrack {
    pub(super) track: Track,
    pub(super) next: u64,
    /// The frame with a replicated last row or column, if its size is odd.
    padded: Picture,
}

impl VideoTrack {
    pub(super) fn add(muxer: &mut Output, spec: Mp4Spec) -> Result<Self> {
        let codec = find_encoder("libx264", "H.264")?;
        let base = Rational(spec.fps.den as i32, spec.fps.num as i32);
        let mut video = codec::context::Context::new_with_codec(codec)
            .encoder()
            .video()?;
        video.set_width(spec.size.width.next_multiple_of(2));
        video.set_height(spec.size.height.next_multiple_of(2));
        video.set_format(format::Pixel::YUV420P);
        video.set_time_base(base);
        video.set_frame_rate(Some(base.invert()));
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        if muxer
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = Dictionary::new();
        options.set("preset", PRESET);
        options.set("crf", CRF);
        options.set("threads", &spec.threads.to_string());
        let encoder = video
            .open_with(options)
            .context("cannot start the H.264 encoder")?;
        let track = Track::add(muxer, codec, encoder.0.0, base)?;
        if let Some(mut stream) = muxer.stream_mut(track.stream) {
            stream.set_avg_frame_rate(base.invert());
        }
        Ok(Self {
            track,
            next: 0,
            padded: Picture::default(),
        })
    }

    pub(super) fn write(&mut self, muxer: &mut Output, picture: &Picture) -> Result<()> {
        let even = picture.width.is_multiple_of(2) && picture.height.is_multiple_of(2);
        let picture = if even {
            picture
        } else {
            pad_to_even(picture, &mut self.padded);
            &self.padded
        };
        let mut frame = to_yuv420(picture)?;
        frame.set_pts(Some(self.next as i64));
        self.next += 1;
        self.track.send(muxer, &frame)
    }
}

/// Copies `picture` with its last column and row repeated where their number is odd.
fn pad_to_even(picture: &Picture, padded: &mut Picture) {
    padded.width = picture.width.next_multiple_of(2);
    padded.height = picture.height.next_multiple_of(2);
    padded.pixels.clear();
    for y in 0..padded.height {
        let row =
            &picture.pixels[y.min(picture.height - 1) * picture.width * 3..][..picture.width * 3];
        padded.pixels.extend_from_slice(row);
        if padded.width > picture.width {
            padded.pixels.extend_from_slice(&row[row.len() - 3..]);
        }
    }
}

/// R G B, full range -> Y U V 4:2:0, BT.709, limited range; even sizes.
fn to_yuv420(picture: &Picture) -> Result<frame::Video> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut frame = frame::Video::new(format::Pixel::YUV420P, width, height);
    let strides = [0, 1, 2].map(|plane| frame.stride(plane));
    let mut planes = [0, 1, 2].map(|plane| {
        let rows = if plane == 0 { height } else { height / 2 } as usize;
        vec![0_u8; strides[plane] * rows]
    });
    let [y, u, v] = &mut planes;
    let mut image = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: strides[0] as u32,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: strides[1] as u32,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: strides[2] as u32,
        width,
        height,
    };
    rgb_to_yuv420(
        &mut image,
        &picture.pixels,
        width * 3,
        YuvRange::Limited,
        YuvStandardMatrix::Bt709,
        YuvConversionMode::Balanced,
    )?;
    for (plane, data) in planes.iter().enumerate() {
        frame.data_mut(plane)[..data.len()].copy_from_slice(data);
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_repeat_their_last_row_and_column() {
        let picture = Picture {
            width: 1,
            height: 3,
            pixels: vec![1, 2, 3, 4, 5, 6, 7, 8, 9],
            alpha: None,
        };
        let mut padded = Picture::default();
        pad_to_even(&picture, &mut padded);
        assert_eq!((padded.width, padded.height), (2, 4));
        assert_eq!(
            padded.pixels,
            [
                1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9
            ]
        );
    }

    #[test]
    fn colours_become_bt709_limited() {
        // ITU-R BT.709-6: Y = 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B), C = 128 + 224 C'.
        for (rgb, yuv) in [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ] {
            let picture = Picture {
                width: 16,
                height: 16,
                pixels: rgb.repeat(256),
                alpha: None,
            };
            let frame = to_yuv420(&picture).unwrap();
            for (plane, want) in yuv.into_iter().enumerate() {
                let got = frame.data(plane)[0];
                assert!(
                    got.abs_diff(want) <= 1,
                    "{rgb:?}: plane {plane} is {got}, not {want}"
                );
            }
        }
    }
}
