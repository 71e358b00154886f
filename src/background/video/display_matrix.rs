//! Stored frames -> upright frames: rotation in steps of 90 degrees, and mirroring.

use ff::codec::packet::side_data::Type;
use ff::format::stream::Stream;
use ffmpeg_next as ff;

use crate::image::Size;

/// The signs of a display matrix: the stored pixel (x, y) is shown at (a x + c y, b x + d y), shifted into the frame.
///
/// Either b and c are 0, or a and d are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DisplayMatrix {
    a: i8,
    b: i8,
    c: i8,
    d: i8,
}

/// How the frames of `stream` are to be shown. None if the angle is not a multiple of 90 degrees.
pub(super) fn of(stream: &Stream<'_>) -> Option<DisplayMatrix> {
    let matrix = stream.side_data().find(|d| d.kind() == Type::DisplayMatrix);
    if let Some(matrix) = matrix {
        return DisplayMatrix::from_matrix(matrix.data());
    }
    match stream.metadata().get("rotate") {
        Some(degrees) => degrees
            .trim()
            .parse()
            .map_or(Some(DisplayMatrix::IDENTITY), DisplayMatrix::rotation),
        None => Some(DisplayMatrix::IDENTITY),
    }
}

impl DisplayMatrix {
    /// Frames are shown as they are stored.
    pub(super) const IDENTITY: Self = Self::from_signs(1, 0, 0, 1);

    const fn from_signs(a: i8, b: i8, c: i8, d: i8) -> Self {
        Self { a, b, c, d }
    }

    fn rotation(degrees: i32) -> Option<Self> {
        match degrees.rem_euclid(360) {
            0 => Some(Self::IDENTITY),
            90 => Some(Self::from_signs(0, 1, -1, 0)),
            180 => Some(Self::from_signs(-1, 0, 0, -1)),
            270 => Some(Self::from_signs(0, -1, 1, 0)),
            _ => None,
        }
    }

    /// From `[a, b, u, c, d, v, x, y, w]`, 32-bit integers in native byte order.
    fn from_matrix(bytes: &[u8]) -> Option<Self> {
        let mut values = bytes.chunks_exact(4).map(|bytes| {
            let mut value = [0; 4];
            value.copy_from_slice(bytes);
            f64::from(i32::from_ne_bytes(value))
        });
        let mut next = || values.next().unwrap_or(0.0);
        let (a, b, _, c, d) = (next(), next(), next(), next(), next());
        let largest = [a, b, c, d].into_iter().map(f64::abs).fold(0.0, f64::max);
        // Sines and cosines are rounded, so a rotation by 90 degrees is not exact.
        let sign = |value: f64| {
            if value.abs() <= largest / 50.0 {
                0
            } else {
                value.signum() as i8
            }
        };
        match (sign(a), sign(b), sign(c), sign(d)) {
            (0, 0, 0, 0) => Some(Self::IDENTITY),
            (a, 0, 0, d) if a != 0 && d != 0 => Some(Self::from_signs(a, 0, 0, d)),
            (0, b, c, 0) if b != 0 && c != 0 => Some(Self::from_signs(0, b, c, 0)),
            _ => None,
        }
    }

    /// The size of the upright frame.
    pub(super) fn display_size(self, stored: Size) -> Size {
        if self.a != 0 {
            return stored;
        }
        Size {
            width: stored.height,
            height: stored.width,
        }
    }

    /// Copies a stored frame of `N` bytes per pixel to `shown`, upright.
    pub(super) fn apply<const N: usize>(
        self,
        stored: &[u8],
        display_size: Size,
        shown: &mut Vec<u8>,
    ) {
        shown.clear();
        if self == Self::IDENTITY {
            shown.extend_from_slice(stored);
            return;
        }
        let (width, height) = (display_size.width as isize, display_size.height as isize);
        let out = self.display_size(display_size);
        // The inverse of the matrix is its transpose.
        let [a, b, c, d] = [self.a, self.b, self.c, self.d].map(isize::from);
        let left = if a + b < 0 { width - 1 } else { 0 };
        let top = if c + d < 0 { height - 1 } else { 0 };
        for y in 0..out.height as isize {
            for x in 0..out.width as isize {
                let (from_x, from_y) = (left + a * x + b * y, top + c * x + d * y);
                let at = (from_y * width + from_x) as usize * N;
                shown.extend_from_slice(&stored[at..at + N]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3x2 frame `abc/def` as it is shown.
    fn shown(display_matrix: DisplayMatrix) -> String {
        let display_size = Size {
            width: 3,
            height: 2,
        };
        let mut shown = Vec::new();
        display_matrix.apply::<1>(b"abcdef", display_size, &mut shown);
        let rows = shown.chunks(display_matrix.display_size(display_size).width as usize);
        let rows: Vec<String> = rows
            .map(|row| String::from_utf8_lossy(row).into_owned())
            .collect();
        rows.join("/")
    }

    #[test]
    fn rotation_is_clockwise() {
        let turned = |degrees| shown(DisplayMatrix::rotation(degrees).unwrap());
        assert_eq!(turned(0), "abc/def");
        assert_eq!(turned(90), "da/eb/fc");
        assert_eq!(turned(180), "fed/cba");
        assert_eq!(turned(-90), "cf/be/ad");
        assert_eq!(DisplayMatrix::rotation(45), None);
    }

    #[test]
    fn matrices_rotate_and_mirror() {
        let matrix = |values: [i32; 4]| {
            let [a, b, c, d] = values;
            let all = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
            let bytes: Vec<u8> = all.iter().flat_map(|v| v.to_ne_bytes()).collect();
            DisplayMatrix::from_matrix(&bytes)
        };
        let one = 1 << 16;
        // What a phone held upright writes.
        assert_eq!(shown(matrix([0, one, -one, 0]).unwrap()), "da/eb/fc");
        assert_eq!(shown(matrix([-one, 0, 0, one]).unwrap()), "cba/fed");
        assert_eq!(shown(matrix([one, 0, 0, -one]).unwrap()), "def/abc");
        assert_eq!(shown(matrix([0, one, one, 0]).unwrap()), "ad/be/cf");
        assert_eq!(shown(matrix([3, one, -one, 2]).unwrap()), "da/eb/fc");
        assert_eq!(matrix([0; 4]), Some(DisplayMatrix::IDENTITY));
        assert_eq!(matrix([one, one, -one, one]), None);
        assert_eq!(
            DisplayMatrix::from_matrix(&[1, 2, 3]),
            Some(DisplayMatrix::IDENTITY)
        );
    }
}
