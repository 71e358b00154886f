//! Stored pictures -> upright pictures, in steps of 90 degrees and mirrored.

use ff::codec::packet::side_data::Type;
use ff::format::stream::Stream;
use ffmpeg_next as ff;

use crate::image::Size;

/// The display matrix as signs: a stored pixel (x, y) is shown at (a x + c y, b x + d y), moved into the picture.
///
/// Either b and c are 0, or a and d are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    a: i8,
    b: i8,
    c: i8,
    d: i8,
}

/// How the pictures of `stream` are to be shown; none where the angle is no multiple of 90 degrees.
pub(super) fn of(stream: &Stream<'_>) -> Option<Turn> {
    let matrix = stream.side_data().find(|d| d.kind() == Type::DisplayMatrix);
    if let Some(matrix) = matrix {
        return Turn::from_matrix(matrix.data());
    }
    match stream.metadata().get("rotate") {
        Some(degrees) => degrees
            .trim()
            .parse()
            .map_or(Some(Turn::NONE), Turn::clockwise),
        None => Some(Turn::NONE),
    }
}

impl Turn {
    /// Shown as stored.
    pub(super) const NONE: Self = Self::signs(1, 0, 0, 1);

    const fn signs(a: i8, b: i8, c: i8, d: i8) -> Self {
        Self { a, b, c, d }
    }

    fn clockwise(degrees: i32) -> Option<Self> {
        match degrees.rem_euclid(360) {
            0 => Some(Self::NONE),
            90 => Some(Self::signs(0, 1, -1, 0)),
            180 => Some(Self::signs(-1, 0, 0, -1)),
            270 => Some(Self::signs(0, -1, 1, 0)),
            _ => None,
        }
    }

    /// From `[a, b, u, c, d, v, x, y, w]`, 32-bit integers in the machine's order.
    fn from_matrix(bytes: &[u8]) -> Option<Self> {
        let mut values = bytes.chunks_exact(4).map(|bytes| {
            let mut value = [0; 4];
            value.copy_from_slice(bytes);
            f64::from(i32::from_ne_bytes(value))
        });
        let mut next = || values.next().unwrap_or(0.0);
        let (a, b, _, c, d) = (next(), next(), next(), next(), next());
        let largest = [a, b, c, d].into_iter().map(f64::abs).fold(0.0, f64::max);
        // Sines and cosines are rounded, so that a quarter turn is one only nearly.
        let sign = |value: f64| {
            if value.abs() <= largest / 50.0 {
                0
            } else {
                value.signum() as i8
            }
        };
        match (sign(a), sign(b), sign(c), sign(d)) {
            (0, 0, 0, 0) => Some(Self::NONE),
            (a, 0, 0, d) if a != 0 && d != 0 => Some(Self::signs(a, 0, 0, d)),
            (0, b, c, 0) if b != 0 && c != 0 => Some(Self::signs(0, b, c, 0)),
            _ => None,
        }
    }

    /// The size of an upright picture.
    pub(super) fn size(self, stored: Size) -> Size {
        if self.a != 0 {
            return stored;
        }
        Size {
            width: stored.height,
            height: stored.width,
        }
    }

    /// Copies a stored picture of `N` bytes a pixel into `shown`, upright.
    pub(super) fn apply<const N: usize>(self, stored: &[u8], size: Size, shown: &mut Vec<u8>) {
        shown.clear();
        if self == Self::NONE {
            shown.extend_from_slice(stored);
            return;
        }
        let (width, height) = (size.width as isize, size.height as isize);
        let out = self.size(size);
        // The matrix's inverse is its transpose.
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

    /// The letters of a 3x2 picture `abc/def` as they are shown.
    fn shown(turn: Turn) -> String {
        let size = Size {
            width: 3,
            height: 2,
        };
        let mut shown = Vec::new();
        turn.apply::<1>(b"abcdef", size, &mut shown);
        let rows = shown.chunks(turn.size(size).width as usize);
        let rows: Vec<String> = rows
            .map(|row| String::from_utf8_lossy(row).into_owned())
            .collect();
        rows.join("/")
    }

    #[test]
    fn quarter_turns_are_clockwise() {
        let turned = |degrees| shown(Turn::clockwise(degrees).unwrap());
        assert_eq!(turned(0), "abc/def");
        assert_eq!(turned(90), "da/eb/fc");
        assert_eq!(turned(180), "fed/cba");
        assert_eq!(turned(-90), "cf/be/ad");
        assert_eq!(Turn::clockwise(45), None);
    }

    #[test]
    fn matrices_turn_and_mirror() {
        let matrix = |values: [i32; 4]| {
            let [a, b, c, d] = values;
            let all = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
            let bytes: Vec<u8> = all.iter().flat_map(|v| v.to_ne_bytes()).collect();
            Turn::from_matrix(&bytes)
        };
        let one = 1 << 16;
        // What a phone writes when it is held upright.
        assert_eq!(shown(matrix([0, one, -one, 0]).unwrap()), "da/eb/fc");
        assert_eq!(shown(matrix([-one, 0, 0, one]).unwrap()), "cba/fed");
        assert_eq!(shown(matrix([one, 0, 0, -one]).unwrap()), "def/abc");
        assert_eq!(shown(matrix([0, one, one, 0]).unwrap()), "ad/be/cf");
        assert_eq!(shown(matrix([3, one, -one, 2]).unwrap()), "da/eb/fc");
        assert_eq!(matrix([0; 4]), Some(Turn::NONE));
        assert_eq!(matrix([one, one, -one, one]), None);
        assert_eq!(Turn::from_matrix(&[1, 2, 3]), Some(Turn::NONE));
    }
}
