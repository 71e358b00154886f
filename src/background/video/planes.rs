//! The planes of a picture as its codec keeps them, without a change of colours.

use std::ptr::addr_of;

use ff::ffi;
use ff::format::Pixel;
use ff::frame;
use ffmpeg_next as ff;

use crate::image::{Picture, Size};

/// A picture in planes of its own: Y U V, R G B, or one of grey, perhaps with A.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanarPicture {
    /// Bits of a sample: full scale is `2^depth - 1`.
    pub depth: u32,
    /// Whether black is 0 and white full scale; else they are 16 and 235 of 255.
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
    /// R G B of a picture, and A with `alpha`: 255 where the picture has none.
    pub fn of_picture(picture: &Picture, alpha: bool) -> Self {
        let colours = "RGB".chars().enumerate().map(|(at, letter)| {
            let samples = picture.pixels.iter().skip(at).step_by(3);
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

    /// Brightness of each pixel in 8 bits, full range; green carries most of it where there is no Y.
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
pub(super) struct Layout {
    format: Pixel,
    depth: u32,
    letters: &'static str,
    /// By how many bits U and V have fewer columns and rows.
    chroma: (u32, u32),
    /// Where each letter's plane is among FFmpeg's.
    places: [usize; 4],
}

impl Layout {
    /// None where components share planes, or are not plain numbers of 8 to 16 bits in the machine's order.
    #[expect(unsafe_code, reason = "components have no safe wrapper")]
    pub(super) fn of(format: Pixel) -> Option<Self> {
        let descriptor = format.descriptor()?;
        // SAFETY: descriptors are static tables of libavutil, and these are plain numbers in them.
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
        let odd = ffi::AV_PIX_FMT_FLAG_BE
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
        let mut places = [0; 4];
        for (place, component) in places.iter_mut().zip(components) {
            *place = usize::try_from(component.plane).ok()?;
        }
        (plain && flags & odd as u32 == 0 && (8..=16).contains(&depth)).then_some(Self {
            format,
            depth,
            letters,
            chroma,
            places,
        })
    }

    /// The letters apart: `Y U V`.
    pub(super) fn words(&self) -> String {
        let letters: Vec<String> = self.letters.chars().map(String::from).collect();
        letters.join(" ")
    }

    /// Copies a decoded picture; false where it has another format.
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
        for ((letter, plane), place) in self.letters.chars().zip(&mut into.planes).zip(self.places)
        {
            let (across, down) = match letter {
                'U' | 'V' => self.chroma,
                _ => (0, 0),
            };
            plane.letter = letter;
            plane.width = size.width.div_ceil(1 << across) as usize;
            plane.height = size.height.div_ceil(1 << down) as usize;
            plane.samples.clear();
            let rows = decoded.data(place).chunks(decoded.stride(place));
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
        let letters = |format| Layout::of(format).map(|layout| (layout.words(), layout.depth));
        assert_eq!(letters(Pixel::YUV420P), Some(("Y U V".into(), 8)));
        assert_eq!(letters(Pixel::YUVA444P12LE), Some(("Y U V A".into(), 12)));
        assert_eq!(letters(Pixel::GBRP), Some(("R G B".into(), 8)));
        assert_eq!(letters(Pixel::GRAY8), Some(("Y".into(), 8)));
        // Interleaved, in the other order, or a palette.
        assert_eq!(letters(Pixel::RGB24), None);
        assert_eq!(letters(Pixel::NV12), None);
        assert_eq!(letters(Pixel::YUV420P10BE), None);
        assert_eq!(letters(Pixel::PAL8), None);
        // Green comes first in memory.
        let places = Layout::of(Pixel::GBRP).unwrap().places;
        assert_eq!(places[..3], [2, 0, 1]);
        assert_eq!(Layout::of(Pixel::YUV420P).unwrap().chroma, (1, 1));
    }

    #[test]
    fn planes_are_copied_without_their_padding() {
        let layout = Layout::of(Pixel::YUV420P).unwrap();
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
