//! Frame numbers of the clip and of backgrounds, and frame rates.

use serde::{Deserialize, Serialize};

/// A frame of the finished clip, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub u64);

/// A background, from 0 in the order of the folder or video (whatever number its file name has).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackgroundIndex(pub usize);

/// Frames per second, as an exact fraction in lowest terms; 1 to 240. In JSON it is text: `30000/1001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameRate {
    /// Numerator: frames ..
    pub num: u32,
    /// Denominator: .. per this many seconds.
    pub den: u32,
}

impl FrameRate {
    /// The frame rate of the training videos.
    pub const TRAINED: Self = Self { num: 25, den: 1 };

    /// `num / den` frames per second, if it is in 1..=240.
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

    /// Whole samples at `rate` Hz before `frame` is shown.
    pub fn samples_before(self, frame: FrameIndex, rate: u32) -> u64 {
        let samples = u128::from(frame.0) * u128::from(self.den) * u128::from(rate);
        (samples / u128::from(self.num)) as u64
    }

    /// Frames per second, as the nearest float.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl std::str::FromStr for FrameRate {
    type Err = String;

    /// `25`, `30000/1001`, or a decimal; 23.976, 29.97, 59.94 and the like become the broadcast rates N * 1000/1001.
    fn from_str(text: &str) -> Result<Self, String> {
        let rate = match text.split_once('/') {
            Some((num, den)) => num.parse().ok().zip(den.parse().ok()),
            None => match text.parse::<u32>() {
                Ok(whole) => Some((whole, 1)),
                Err(_) => text.parse().ok().and_then(from_decimal),
            },
        };
        rate.and_then(|(num, den)| Self::new(num, den))
            .ok_or_else(|| "expected 1 to 240 frames per second: 25, 29.97 or 30000/1001".into())
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

/// A broadcast rate if one is within 0.005 of the decimal, else thousandths.
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

/// Greatest common divisor.
pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
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
    fn frames_cover_the_audio_exactly() {
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
