//! The planes of a frame as the codec stores them, without colour conversion.

use std::ptr::addr_of;

use ff::ffi;
use ff::format::Pixel;
use ff::frame;
use ffmpeg_next as ff;

use crate::image::{Picture, Size};

/// A picture with one plane per component: Y U V, R G B or grey, each with or without A.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanarPicture {
    /// Bits per sample: full scale is `2^depth - 1`.
    pub depth: u32,
    /// Whether black is 0 and white is full scale, and not 16 and 235 of 255.
    pub full_range: bool,
    /// In the order of their letters.
    pub planes: Vec<Plane>,
}

/// One plane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plane {
    /// `Y`, `U`, `V`, `R`, `G`, `B` or `A`.
    pub letter: char,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width]`.
    pub samples: Vec<u16>,
}

impl PlanarPicture {
    /// R G B of a picture, and A if `alpha` is set: 255 if the picture has none.
    pub fn of_picture(picture: &Picture, alpha: bool) -> Self {
        let colours = "RGB".chars().enumerate().map(|(channel, letter)| {
            let samples = picture.pixels.iter().skip(channel).step_by(3);
            (letter, samples.map(|v| u16::from(*v)).collect())
        });
        let opaque = || vec![255; picture.width * picture.height];
        let alpha = alpha.then(|| {
            let samples = picture.alpha.as_ref();
            let samples = samples.map(|a| a.iter().map(|v| u16::from(*v)).collect());
            ('A', samples.unwrap_or_else(opaque))
        });
        let plane = |(letter, samples)| Plane {
            letter,
            width: picture.width,
            height: picture.height,
            samples,
        };
        Self {
            depth: 8,
            full_range: true,
            planes: colours.chain(alpha).map(plane).collect(),
        }
    }

    /// Brightness of each pixel in 8 bits, full range; green stands in for Y if there is none.
    pub(crate) fn luma(&self, out: &mut Vec<u8>) {
        let full = (1_u32 << self.depth) - 1;
        let level = |value: u16| {
            let share = u32::from(value) * 255 / full;
            if self.full_range {
                share as u8
            } else {
                ((share.saturating_sub(16) * 255 + 109) / 219).min(255) as u8
            }
        };
        let levels: Vec<u8> = (0..=full as u16).map(level).collect();
        let mut planes = self.planes.iter();
        let light = planes.find(|p| matches!(p.letter, 'Y' | 'G'));
        let light = light.into_iter().flat_map(|plane| &plane.samples);
        out.clear();
        out.extend(light.map(|v| levels[usize::from(*v).min(full as usize)]));
    }
}

/// How a pixel format lays out its planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlaneLayout {
    format: Pixel,
    depth: u32,
    letters: &'static str,
    /// Columns and rows of U and V, as right shifts of those of Y.
    chroma: (u32, u32),
    /// FFmpeg's index of each letter's plane.
    plane_indices: [usize; 4],
}

impl PlaneLayout {
    /// None if components share planes, or are not plain integers of 8 to 16 bits in native byte order.
    #[expect(unsafe_code, reason = "components have no safe wrapper")]
    pub(super) fn of(format: Pixel) -> Option<Self> {
        let descriptor = format.descriptor()?;
        // SAFETY: descriptors point to static tables of libavutil, and the fields are plain numbers.
        let (flags, count, chroma, components) = unsafe {
            let table = descriptor.as_ptr();
            let chroma = (*table).log2_chroma_w;
            (
                (*table).flags as u32,
                usize::from((*table).nb_components),
                (u32::from(chroma), u32::from((*table).log2_chroma_h)),
                addr_of!((*table).comp).read(),
            )
        };
        let unsupported = ffi::AV_PIX_FMT_FLAG_BE
            | ffi::AV_PIX_FMT_FLAG_PAL
            | ffi::AV_PIX_FMT_FLAG_BITSTREAM
            | ffi::AV_PIX_FMT_FLAG_HWACCEL
            | ffi::AV_PIX_FMT_FLAG_FLOAT;
        let components = components.get(..count)?;
        let depth = u32::try_from(components.first()?.depth).ok()?;
        let step = if depth > 8 { 2 } else { 1 };
        let plain = components.iter().enumerate().all(|(i, component)| {
            let alone = components[..i].iter().all(|c| c.plane != component.plane);
            let whole = component.step == step && component.offset == 0 && component.shift == 0;
            alone && whole && component.depth as u32 == depth
        });
        let letters = match (count, flags & ffi::AV_PIX_FMT_FLAG_RGB as u32) {
            (1, _) => "Y",
            (3, 0) => "YUV",
            (4, 0) => "YUVA",
            (3, _) => "RGB",
            (4, _) => "RGBA",
            _ => return None,
        };
        let mut plane_indices = [0; 4];
        for (index, component) in plane_indices.iter_mut().zip(components) {
            *index = usize::try_from(component.plane).ok()?;
        }
        (plain && flags & unsupported as u32 == 0 && (8..=16).contains(&depth)).then_some(Self {
            format,
            depth,
            letters,
            chroma,
            plane_indices,
        })
    }

    /// The letters, separated by spaces: `Y U V`.
    pub(super) fn plane_names(&self) -> String {
        let letters: Vec<String> = self.letters.chars().map(String::from).collect();
        letters.join(" ")
    }

    /// Copies a decoded frame; false if it has another format.
    pub(super) fn copy(
        &self,
        decoded: &frame::Video,
        full_range: bool,
        into: &mut PlanarPicture,
    ) -> bool {
        if decoded.format() != self.format {
            return false;
        }
        let size = Size {
            width: decoded.width(),
            height: decoded.height(),
        };
        (into.depth, into.full_range) = (self.depth, full_range);
        into.planes.resize_with(self.letters.len(), Plane::default);
        for ((letter, plane), index) in self
            .letters
            .chars()
            .zip(&mut into.planes)
            .zip(self.plane_indices)
        {
            let (across, down) = match letter {
                'U' | 'V' => self.chroma,
                _ => (0, 0),
            };
            plane.letter = letter;
            plane.width = size.width.div_ceil(1 << across) as usize;
            plane.height = size.height.div_ceil(1 << down) as usize;
            plane.samples.clear();
            let rows = decoded.data(index).chunks(decoded.stride(index));
            for row in rows.take(plane.height) {
                if self.depth > 8 {
                    let pairs = row[..plane.width * 2].chunks_exact(2);
                    let samples = pairs.map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
                    plane.samples.extend(samples);
                } else {
                    let samples = row[..plane.width].iter().map(|v| u16::from(*v));
                    plane.samples.extend(samples);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_formats() {
        let letters =
            |format| PlaneLayout::of(format).map(|layout| (layout.plane_names(), layout.depth));
        assert_eq!(letters(Pixel::YUV420P), Some(("Y U V".into(), 8)));
        assert_eq!(letters(Pixel::YUVA444P12LE), Some(("Y U V A".into(), 12)));
        assert_eq!(letters(Pixel::GBRP), Some(("R G B".into(), 8)));
        assert_eq!(letters(Pixel::GRAY8), Some(("Y".into(), 8)));
        // Interleaved, in the other byte order, or with a palette.
        assert_eq!(letters(Pixel::RGB24), None);
        assert_eq!(letters(Pixel::NV12), None);
        assert_eq!(letters(Pixel::YUV420P10BE), None);
        assert_eq!(letters(Pixel::PAL8), None);
        // Green comes first in memory.
        let plane_indices = PlaneLayout::of(Pixel::GBRP).unwrap().plane_indices;
        assert_eq!(plane_indices[..3], [2, 0, 1]);
        assert_eq!(PlaneLayout::of(Pixel::YUV420P).unwrap().chroma, (1, 1));
    }

    #[test]
    fn planes_are_copied_without_their_padding() {
        let layout = PlaneLayout::of(Pixel::YUV420P).unwrap();
        let mut decoded = frame::Video::new(Pixel::YUV420P, 5, 3);
        for plane in 0..3 {
            let stride = decoded.stride(plane);
            let bytes = decoded.data_mut(plane);
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = (100 * plane + 10 * (i / stride) + i % stride) as u8;
            }
        }
        let mut planes = PlanarPicture::default();
        assert!(layout.copy(&decoded, false, &mut planes));
        assert_eq!(planes.planes[0].samples.len(), 15);
        assert_eq!(planes.planes[0].samples[5..10], [10, 11, 12, 13, 14]);
        assert_eq!(planes.planes[1].samples, [100, 101, 102, 110, 111, 112]);
        assert_eq!(planes.planes[2].letter, 'V');
        let other = frame::Video::new(Pixel::YUV444P, 5, 3);
        assert!(!layout.copy(&other, false, &mut planes));
    }

    #[test]
    fn luma_is_stretched_to_full_range() {
        let plane = |samples: &[u16]| Plane {
            letter: 'Y',
            width: samples.len(),
            height: 1,
            samples: samples.to_vec(),
        };
        let mut planes = PlanarPicture {
            depth: 8,
            full_range: false,
            planes: vec![plane(&[0, 16, 126, 235, 255])],
        };
        let mut luma = Vec::new();
        planes.luma(&mut luma);
        assert_eq!(luma, [0, 0, 128, 255, 255]);
        planes.depth = 10;
        planes.planes = vec![plane(&[64, 940])];
        planes.luma(&mut luma);
        assert!(luma[0] <= 1 && luma[1] >= 254, "{luma:?}");
    }
}
