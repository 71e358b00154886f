//! R G B -> the planes that most video encoders take: Y U V 4:2:0, 8-bit, BT.709, limited range.

use anyhow::Result;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    rgb_to_yuv420,
};

use crate::image::{Picture, Rect, Size};

/// Columns, and rows, of Y that share one U and one V.
const CHROMA_STEP: u32 = 2;

/// A picture with an even number of columns and rows, as three planes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Yuv420 {
    width: usize,
    height: usize,
    /// Y `[height, width]`, then U and V `[height / 2, width / 2]`, rows without padding.
    values: Vec<u8>,
}

/// One plane.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Rows from top to bottom, without padding.
    pub values: &'a [u8],
    /// Values per row.
    pub width: usize,
    /// Columns, and rows, of the picture that share a value.
    pub step: usize,
}

impl Yuv420 {
    /// Y, U and V.
    pub fn planes(&self) -> [Plane<'_>; 3] {
        let step = CHROMA_STEP as usize;
        let luma = self.width * self.height;
        let chroma = luma / (step * step);
        let (y, uv) = self.values.split_at(luma);
        let (u, v) = uv.split_at(chroma);
        [(y, 1), (u, step), (v, step)].map(|(values, step)| Plane {
            values,
            width: self.width / step,
            step,
        })
    }

    /// Memory of a picture of `size`, in bytes.
    pub fn bytes(size: Size) -> usize {
        let even = even(size);
        even.width as usize * even.height as usize * 3 / 2
    }
}

/// `size`, rounded up to even columns and rows.
pub(crate) fn even(size: Size) -> Size {
    Size {
        width: size.width.next_multiple_of(CHROMA_STEP),
        height: size.height.next_multiple_of(CHROMA_STEP),
    }
}

/// `rect` extended to whole values of U and V, in a picture of `size`: pixels outside share no value with those inside.
///
/// It ends at the last column or row of a picture of odd size.
pub(crate) fn extend_to_chroma(rect: Rect, size: Size) -> Rect {
    Rect {
        x0: rect.x0 / CHROMA_STEP * CHROMA_STEP,
        y0: rect.y0 / CHROMA_STEP * CHROMA_STEP,
        x1: rect.x1.next_multiple_of(CHROMA_STEP).min(size.width),
        y1: rect.y1.next_multiple_of(CHROMA_STEP).min(size.height),
    }
}

/// Converts pictures. Its buffer is used again for the next picture.
#[derive(Debug, Default)]
pub struct YuvConverter {
    /// The picture with its last column and row repeated, if its size is odd.
    padded: Picture,
}

impl YuvConverter {
    /// Converts `picture` to `planes`; if its size is odd, the last column or row is repeated.
    ///
    /// Each value depends on its own pixels only, so a part that starts at an even column and row is converted as in
    /// the whole picture.
    pub fn convert(&mut self, picture: &Picture, planes: &mut Yuv420) -> Result<()> {
        let size = even(picture.size());
        let picture = if picture.size() == size {
            picture
        } else {
            pad_to_even(picture, &mut self.padded);
            &self.padded
        };
        (planes.width, planes.height) = (picture.width, picture.height);
        planes.values.resize(Yuv420::bytes(size), 0);
        let luma = picture.width * picture.height;
        let (y, uv) = planes.values.split_at_mut(luma);
        let (u, v) = uv.split_at_mut(luma / 4);
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: size.width,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: size.width / CHROMA_STEP,
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: size.width / CHROMA_STEP,
            width: size.width,
            height: size.height,
        };
        Ok(rgb_to_yuv420(
            &mut image,
            &picture.pixels,
            size.width * 3,
            YuvRange::Limited,
            YuvStandardMatrix::Bt709,
            YuvConversionMode::Balanced,
        )?)
    }
}

/// Copies `picture`, with its last column and row repeated if their number is odd.
fn pad_to_even(picture: &Picture, padded: &mut Picture) {
    let size = even(picture.size());
    (padded.width, padded.height) = (size.width as usize, size.height as usize);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn planes(picture: &Picture) -> Yuv420 {
        let mut planes = Yuv420::default();
        YuvConverter::default()
            .convert(picture, &mut planes)
            .unwrap();
        planes
    }

    /// A picture of noise.
    fn noise(width: usize, height: usize, seed: u64) -> Picture {
        let mut picture = Picture::new(width, height);
        let mut state = seed;
        for value in &mut picture.pixels {
            // Knuth's MMIX generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *value = (state >> 56) as u8;
        }
        picture
    }

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
            for (plane, want) in planes(&picture).planes().iter().zip(yuv) {
                let got = plane.values[0];
                assert!(got.abs_diff(want) <= 1, "{rgb:?}: {got}, expected {want}");
            }
        }
    }

    proptest! {
        /// A rectangle converted on its own gives the same bytes as in the whole picture.
        #[test]
        fn a_part_is_converted_as_in_the_whole(
            (width, height) in (1_u32..150, 1_u32..40),
            corners in [0.0_f64..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0],
            seed: u64,
        ) {
            let between = |a: f64, b: f64, most: u32| {
                let at = |share: f64| (share * f64::from(most)) as u32;
                let (low, high) = (at(a.min(b)), at(a.max(b)));
                (low, high.max(low + 1))
            };
            let (x0, x1) = between(corners[0], corners[1], width);
            let (y0, y1) = between(corners[2], corners[3], height);
            let whole = noise(width as usize, height as usize, seed);
            let area = extend_to_chroma(Rect { x0, y0, x1, y1 }, whole.size());
            prop_assert!(area.x0 <= x0 && area.x1 >= x1 && area.y0 <= y0 && area.y1 >= y1);
            let mut part = Picture::default();
            part.copy_rect(&whole, area);
            let (whole, part) = (planes(&whole), planes(&part));
            for (whole, part) in whole.planes().iter().zip(part.planes()) {
                let first = area.y0 as usize / part.step;
                for (y, row) in part.values.chunks_exact(part.width).enumerate() {
                    let start = (first + y) * whole.width + area.x0 as usize / part.step;
                    prop_assert_eq!(row, &whole.values[start..start + part.width]);
                }
            }
        }
    }
}
