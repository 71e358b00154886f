//! Pictures, rectangles and the two kinds of frame number.

use serde::{Deserialize, Serialize};

/// A frame of the finished clip, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub u64);

/// A picture of the background folder, from 0 in the folder's order (whatever number its file name has).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackgroundIndex(pub usize);

/// Frames a second, as an exact fraction in lowest terms; 1 to 240. JSON has it as text: `30000/1001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameRate {
    /// Frames ..
    pub num: u32,
    /// .. in so many seconds.
    pub den: u32,
}

impl FrameRate {
    /// The rate of the training videos.
    pub const TRAINED: Self = Self { num: 25, den: 1 };

    /// `num / den` frames a second, if that lies in 1..=240.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        let divisor = gcd(num, den);
        let fits = den > 0 && num >= den && u64::from(num) <= 240 * u64::from(den);
        fits.then(|| Self {
            num: num / divisor,
            den: den / divisor,
        })
    }

    /// Frames that cover `samples` samples at `rate` Hz: `ceil(samples / rate * fps)`, exactly.
    pub fn frames_covering(self, samples: u64, rate: u32) -> u64 {
        let frames = u128::from(samples) * u128::from(self.num);
        frames.div_ceil(u128::from(rate) * u128::from(self.den)) as u64
    }

    /// When `frame` is shown, in seconds.
    pub fn seconds(self, frame: FrameIndex) -> f64 {
        frame.0 as f64 * f64::from(self.den) / f64::from(self.num)
    }

    /// Whole samples at `rate` Hz that pass before `frame` is shown.
    pub fn samples_before(self, frame: FrameIndex, rate: u32) -> u64 {
        let samples = u128::from(frame.0) * u128::from(self.den) * u128::from(rate);
        (samples / u128::from(self.num)) as u64
    }

    /// Frames a second as the nearest float.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl std::str::FromStr for FrameRate {
    type Err = String;

    /// `25`, `30000/1001`, or a decimal: 23.976, 29.97, 59.94 and the like are the broadcast rates N * 1000/1001.
    fn from_str(text: &str) -> Result<Self, String> {
        let rate = match text.split_once('/') {
            Some((num, den)) => num.parse().ok().zip(den.parse().ok()),
            None => match text.parse::<u32>() {
                Ok(whole) => Some((whole, 1)),
                Err(_) => text.parse().ok().and_then(from_decimal),
            },
        };
        rate.and_then(|(num, den)| Self::new(num, den))
            .ok_or_else(|| "expected 1 to 240 frames a second: 25, 29.97 or 30000/1001".into())
    }
}

impl TryFrom<String> for FrameRate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FrameRate> for String {
    fn from(rate: FrameRate) -> Self {
        rate.to_string()
    }
}

/// A broadcast rate within 0.005 of the decimal, else thousandths.
fn from_decimal(decimal: f64) -> Option<(u32, u32)> {
    if !(1.0..=240.0).contains(&decimal) {
        return None;
    }
    let whole = decimal.ceil();
    if decimal < whole && (whole * 1000.0 / 1001.0 - decimal).abs() < 0.005 {
        return Some((whole as u32 * 1000, 1001));
    }
    Some(((decimal * 1000.0).round() as u32, 1000))
}

impl std::fmt::Display for FrameRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{den}", self.num),
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A crop rectangle in pixels of its frame; `x1` and `y1` are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// Column after the last.
    pub x1: u32,
    /// Row after the last.
    pub y1: u32,
}

impl Rect {
    /// Columns covered.
    pub fn width(self) -> usize {
        (self.x1 - self.x0) as usize
    }

    /// Rows covered.
    pub fn height(self) -> usize {
        (self.y1 - self.y0) as usize
    }

    /// The same place as seen from the upper left corner of `area`, in which it lies.
    #[must_use]
    pub fn within(self, area: Rect) -> Self {
        Self {
            x0: self.x0 - area.x0,
            y0: self.y0 - area.y0,
            x1: self.x1 - area.x0,
            y1: self.y1 - area.y0,
        }
    }
}

impl std::fmt::Display for Rect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.x0, self.y0, self.x1, self.y1)
    }
}

/// An 8-bit picture, R G B interleaved, rows from the top without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`, R G B, 0..=255.
    pub pixels: Vec<u8>,
    /// `[height, width]`, 0 transparent to 255 opaque; none where all is opaque.
    pub alpha: Option<Vec<u8>>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![0; width * height * 3],
            alpha: None,
        }
    }

    /// Becomes a copy of `other`, keeping its own memory.
    pub fn copy_from(&mut self, other: &Picture) {
        self.width = other.width;
        self.height = other.height;
        self.pixels.clear();
        self.pixels.extend_from_slice(&other.pixels);
        match (&mut self.alpha, &other.alpha) {
            (Some(to), Some(from)) => to.clone_from(from),
            (to, from) => to.clone_from(from),
        }
    }

    /// Becomes a copy of a part of `other`, opaque, keeping its own memory.
    pub fn copy_part(&mut self, other: &Picture, part: Rect) {
        (self.width, self.height) = (part.width(), part.height());
        self.alpha = None;
        self.pixels.clear();
        let rows = other.pixels.chunks_exact(other.width * 3);
        for row in rows.skip(part.y0 as usize).take(part.height()) {
            self.pixels
                .extend_from_slice(&row[part.x0 as usize * 3..part.x1 as usize * 3]);
        }
    }

    /// Replaces the colours of `place` by those of `part`, which has its size.
    pub fn put(&mut self, part: &Picture, place: Rect) {
        let rows = self.pixels.chunks_exact_mut(self.width * 3);
        let rows = rows.skip(place.y0 as usize);
        for (row, part) in rows.zip(part.pixels.chunks_exact(part.width * 3)) {
            row[place.x0 as usize * 3..place.x1 as usize * 3].copy_from_slice(part);
        }
    }

    /// Takes the pixels, and the alpha if any of it is not opaque, from R G B A interleaved; the size stays.
    pub fn set_rgba(&mut self, rgba: &[u8]) {
        let pixels = rgba.chunks_exact(4);
        self.pixels.clear();
        self.pixels
            .extend(pixels.clone().flat_map(|p| [p[0], p[1], p[2]]));
        let transparent = pixels.clone().any(|p| p[3] != 255);
        self.alpha = transparent.then(|| pixels.map(|p| p[3]).collect());
    }

    /// Becomes opaque: what shows through is black.
    pub fn flatten(&mut self) {
        let Some(alpha) = self.alpha.take() else {
            return;
        };
        for (pixel, alpha) in self.pixels.chunks_exact_mut(3).zip(alpha) {
            for value in pixel {
                *value = ((u32::from(*value) * u32::from(alpha) + 127) / 255) as u8;
            }
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        Size {
            width: self.width as u32,
            height: self.height as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_are_exact() {
        let rate = |text: &str| text.parse::<FrameRate>().map(|r| (r.num, r.den));
        assert_eq!(rate("25"), Ok((25, 1)));
        assert_eq!(rate("50/2"), Ok((25, 1)));
        assert_eq!(rate("29.97"), Ok((30_000, 1001)));
        assert_eq!(rate("23.976"), Ok((24_000, 1001)));
        assert_eq!(rate("59.94"), Ok((60_000, 1001)));
        assert_eq!(rate("12.5"), Ok((25, 2)));
        for wrong in ["0", "1/0", "241", "-25", "0.5", "fast", "25/1/1", "nan", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn frames_cover_the_sound_exactly() {
        let covering = |samples, rate| FrameRate::TRAINED.frames_covering(samples, rate);
        assert_eq!(covering(160_000, 16_000), 250);
        assert_eq!(covering(160_001, 16_000), 251);
        assert_eq!(covering(68_880, 16_000), 108);
        assert_eq!(covering(1, 44_100), 1);
        // An hour at 29.97: 3600 * 30000 / 1001 = 107892.1 frames.
        let ntsc = FrameRate {
            num: 30_000,
            den: 1001,
        };
        assert_eq!(ntsc.frames_covering(3600 * 48_000, 48_000), 107_893);
    }
}
