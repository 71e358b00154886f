//! All channels -> the one that the networks hear.
//!
//! Mono stays as it is, and stereo becomes the mean of both channels. With more channels, the speaker's position decides:
//! film mixes put speech into the centre. If the channels cancel each other, the loudest one is taken alone.

/// How much quieter than the loudest channel a mix may be, in dB. It is 6 dB if one of two channels is silent, and 9 dB if
/// only a speaker behind the listener sounds.
const MAX_LOSS_DB: f64 = 10.0;
/// Audio whose loudest 0.1 s is quieter than this is nearly silent for the networks, in dBFS.
const QUIET_DBFS: f64 = -50.0;

/// Masks of speakers (`WAVEFORMATEXTENSIBLE`, the same in FFmpeg).
const CENTRE: u64 = 0x4;
const BASS: u64 = 0x8;
/// Left and right in front of the listener, also the wide pairs.
const FRONT: u64 = 0x1 | 0x2 | 0x40 | 0x80;
/// Layouts by the number of channels, for files that do not state one: 5.0, 5.1 and 7.1.
const USUAL: [(usize, u64); 3] = [(5, 0x607), (6, 0x60F), (8, 0x63F)];

/// How channels become one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mix {
    /// Their mean.
    Mean,
    /// Their sum, each with its own weight.
    Weighted(Vec<f32>),
}

impl Mix {
    /// The mix for `channels` channels whose speakers are `speakers`, if that is known.
    ///
    /// The weights have the ratios of ITU-R BS.775, table 2, for mono; what left and right share keeps its level.
    fn of(channels: usize, speakers: Option<u64>) -> Self {
        let usual = USUAL.iter().find(|(count, _)| *count == channels);
        let mask = speakers
            .filter(|mask| mask.count_ones() as usize == channels)
            .or(usual.map(|(_, mask)| *mask));
        let Some(mask) = mask.filter(|mask| channels > 2 && mask & CENTRE != 0) else {
            return Self::Mean;
        };
        let bits = (0..u64::BITS).map(|bit| 1 << bit);
        let weights = bits.filter(|bit| mask & bit != 0).map(|bit| match bit {
            CENTRE => f32::sqrt(0.5),
            BASS => 0.0,
            _ if bit & FRONT != 0 => 0.5,
            _ => f32::sqrt(0.125),
        });
        Self::Weighted(weights.collect())
    }

    fn only(channel: usize, channels: usize) -> Self {
        let weights = (0..channels).map(|n| if n == channel { 1.0 } else { 0.0 });
        Self::Weighted(weights.collect())
    }

    fn value(&self, frame: &[f32]) -> f32 {
        match self {
            Self::Mean => frame.iter().sum::<f32>() / frame.len() as f32,
            Self::Weighted(weights) => weights.iter().zip(frame).map(|(w, s)| w * s).sum(),
        }
    }

    /// Mixes interleaved channels, in place.
    pub(super) fn apply(&self, samples: &mut Vec<f32>, channels: usize) {
        let frames = samples.len() / channels;
        for i in 0..frames {
            samples[i] = self.value(&samples[i * channels..(i + 1) * channels]);
        }
        samples.truncate(frames);
    }
}

/// The level of a signal.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Sum of squares.
    energy: f64,
    /// The same for the current stretch.
    stretch: f64,
    /// The greatest mean square of a stretch of 0.1 s.
    loudest: f64,
}

/// Measures channels and their mix, to decide what the networks hear.
#[derive(Debug, Clone)]
pub(super) struct MixMeter {
    mix: Mix,
    mixed: Level,
    channels: Vec<Level>,
    /// Samples of a stretch of 0.1 s.
    stretch_len: u32,
    /// How many samples of the current stretch were measured.
    in_stretch: u32,
}

/// What the networks hear.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    pub(super) mix: Mix,
    /// The only channel that is heard, from 0, and how much quieter the mix of all would be, in dB.
    pub(super) only: Option<(usize, f64)>,
    /// Level of the loudest 0.1 s, dBFS.
    pub(super) loudest_db: f64,
}

impl MixMeter {
    /// For audio at `rate` Hz with these channels.
    pub(super) fn new(channels: u16, speakers: Option<u64>, rate: u32) -> Self {
        let channels = usize::from(channels);
        Self {
            mix: Mix::of(channels, speakers),
            mixed: Level::default(),
            channels: vec![Level::default(); channels],
            stretch_len: rate / 10,
            in_stretch: 0,
        }
    }

    /// Measures interleaved samples.
    pub(super) fn add(&mut self, samples: &[f32]) {
        for frame in samples.chunks_exact(self.channels.len()) {
            self.mixed.add(self.mix.value(frame));
            for (level, sample) in self.channels.iter_mut().zip(frame) {
                level.add(*sample);
            }
            self.in_stretch += 1;
            if self.in_stretch == self.stretch_len {
                self.end_stretch();
            }
        }
    }

    fn end_stretch(&mut self) {
        let len = std::mem::take(&mut self.in_stretch);
        for level in self.channels.iter_mut().chain([&mut self.mixed]) {
            let stretch = std::mem::take(&mut level.stretch);
            level.loudest = level.loudest.max(stretch / f64::from(len.max(1)));
        }
    }

    /// Adds what another meter measured of audio with as many channels.
    pub(super) fn merge(&mut self, mut other: Self) {
        other.end_stretch();
        if other.channels.len() != self.channels.len() {
            return;
        }
        let levels = self.channels.iter_mut().chain([&mut self.mixed]);
        for (level, more) in levels.zip(other.channels.iter().chain([&other.mixed])) {
            level.energy += more.energy;
            level.loudest = level.loudest.max(more.loudest);
        }
    }

    /// Whether nothing was loud so far.
    pub(super) fn is_quiet(&self) -> bool {
        self.channels
            .iter()
            .all(|level| decibels(level.loudest) < QUIET_DBFS)
    }

    /// The decision.
    pub(super) fn heard(mut self) -> Heard {
        self.end_stretch();
        let by_energy =
            |a: &(usize, &Level), b: &(usize, &Level)| a.1.energy.total_cmp(&b.1.energy);
        let strongest = self.channels.iter().enumerate().max_by(by_energy);
        let alone = strongest.and_then(|(channel, level)| {
            let loss = decibels(level.energy) - decibels(self.mixed.energy);
            (loss > MAX_LOSS_DB).then_some((channel, loss, level.loudest))
        });
        match alone {
            Some((channel, loss, loudest)) => Heard {
                mix: Mix::only(channel, self.channels.len()),
                only: Some((channel, loss)),
                loudest_db: decibels(loudest),
            },
            None => Heard {
                mix: self.mix,
                only: None,
                loudest_db: decibels(self.mixed.loudest),
            },
        }
    }
}

impl Level {
    fn add(&mut self, sample: f32) {
        let square = f64::from(sample) * f64::from(sample);
        self.energy += square;
        self.stretch += square;
    }
}

impl Heard {
    /// What the user should know about it.
    pub(super) fn warnings(&self, path: &str) -> Vec<String> {
        let alone = self.only.map(|(channel, loss)| {
            let loss = loss.min(120.0);
            format!(
                "the channels of `{path}` cancel each other (mixed, they are {loss:.0} dB quieter), so the networks hear channel {} alone",
                channel + 1
            )
        });
        let quiet = (self.loudest_db < QUIET_DBFS).then(|| {
            if self.loudest_db <= SILENCE_DBFS {
                format!("`{path}` is silent: the mouth will stay closed")
            } else {
                format!(
                    "`{path}` is nearly silent: its loudest 0.1 s has {:.0} dBFS, so the mouth may stay closed",
                    self.loudest_db
                )
            }
        });
        alone.into_iter().chain(quiet).collect()
    }
}

/// Level of digital silence, dBFS.
const SILENCE_DBFS: f64 = -150.0;

/// Decibels of a mean square.
fn decibels(square: f64) -> f64 {
    (10.0 * square.log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of a second of these channels at a time in seconds.
    fn heard(speakers: Option<u64>, wave: impl Fn(f64) -> Vec<f32>) -> Heard {
        let frames: Vec<Vec<f32>> = (0..16_000).map(|n| wave(f64::from(n) / 16_000.0)).collect();
        let mut meter = MixMeter::new(frames[0].len() as u16, speakers, 16_000);
        meter.add(&frames.concat());
        meter.heard()
    }

    fn tone(time: f64) -> f32 {
        (time * 2000.0).sin() as f32 * 0.5
    }

    #[test]
    fn ordinary_channels_become_their_mean() {
        for wave in [
            |t: f64| vec![tone(t)],
            |t: f64| vec![tone(t), tone(t)],
            |t: f64| vec![tone(t), 0.0],
            |t: f64| vec![tone(t), tone(t * 1.7)],
            |t: f64| vec![tone(t), -0.3 * tone(t)],
            |t: f64| vec![tone(t), 0.0, 0.0],
        ] {
            let heard = heard(None, wave);
            assert_eq!((heard.mix, heard.only), (Mix::Mean, None));
            assert!(heard.loudest_db > -25.0);
        }
    }

    #[test]
    fn channels_out_of_phase_are_not_mixed() {
        for (left, right, channel) in [(1.0, -1.0, 1), (0.9, -1.0, 1), (1.0, -0.9, 0)] {
            let heard = heard(None, |t| vec![tone(t) * left, tone(t) * right]);
            assert_eq!(heard.only.unwrap().0, channel);
            assert!(heard.loudest_db > -10.0);
            assert!(heard.warnings("a.wav")[0].contains("cancel each other"));
        }
    }

    #[test]
    fn speech_in_the_centre_is_loud() {
        let centre = |t| vec![0.0, 0.0, tone(t), 0.0, 0.0, 0.0];
        let level = |speakers| {
            let heard = heard(speakers, centre);
            assert_eq!(heard.only, None);
            heard.loudest_db - decibels(0.125)
        };
        assert!((level(None) + 3.0).abs() < 0.2);
        assert!((level(Some(0x3F)) + 3.0).abs() < 0.2);
        // Channels that stand for no speakers: here one of six microphones.
        let alone = heard(Some(0x3F0), centre);
        assert_eq!(alone.only.unwrap().0, 2);
    }

    #[test]
    fn silence_is_noticed() {
        let said = |scale: f32| heard(None, |t| vec![tone(t) * scale]).warnings("a.wav");
        assert_eq!(said(0.0), ["`a.wav` is silent: the mouth will stay closed"]);
        assert!(said(1e-3)[0].contains("nearly silent: its loudest 0.1 s has -69 dBFS"));
        assert!(said(0.1).is_empty());
    }
}
