//! Decodes an audio track once, to find its length, and what is heard of it.

use anyhow::Result;

use super::decoder::{Decoder, MIN_GAP};
use super::demuxer::Medium;
use crate::audio::checks::{Truncated, truncated};
use crate::audio::mix::MixMeter;

/// Seconds by which the duration in the header may be wrong.
const DURATION_TOLERANCE: f64 = 0.5;
/// Containers whose header states the exact duration of the audio, not an estimate.
const EXACT_DURATIONS: [&str; 2] = ["mov,mp4,m4a,3gp,3g2,mj2", "flac"];
/// Seconds by which audio may end before its video without a warning.
const EARLY_END: f64 = 1.0;

/// What is known about an audio track after it has been decoded.
#[derive(Debug, Clone)]
pub(in crate::audio) struct Probe {
    pub(in crate::audio) rate: u32,
    pub(in crate::audio) channels: u16,
    /// Samples per channel.
    pub(in crate::audio) frames: u64,
    /// Timestamp of the start, in the stream's time base.
    pub(in crate::audio) origin: i64,
    /// Whether the packets follow each other without gaps.
    pub(in crate::audio) gapless: bool,
    /// What was measured of the channels.
    pub(in crate::audio) meter: MixMeter,
    /// Whether the header states more.
    pub(in crate::audio) is_truncated: bool,
    /// What the user should know.
    pub(in crate::audio) warnings: Vec<String>,
}

/// Decodes a file to its end, or for `limit` seconds.
pub(in crate::audio) fn probe(
    medium: &Medium,
    limit: Option<f64>,
    cut_off: Truncated,
) -> Result<Probe> {
    let mut decoder = Decoder::open(medium)?;
    let max_frames = limit.map_or(u64::MAX, |s| {
        (s * f64::from(decoder.rate)).ceil().max(1.0) as u64
    });
    let mut meter = MixMeter::new(decoder.channels, decoder.speakers(), decoder.rate);
    let mut samples = Vec::new();
    let mut frames = 0;
    let mut ended = false;
    while frames < max_frames && !ended {
        samples.clear();
        ended = !decoder.read(&mut samples)?;
        frames += (samples.len() / usize::from(decoder.channels)) as u64;
        meter.add(&samples);
    }
    let mut gapless = decoder.timing.gapless;
    let (mut warnings, mut is_truncated) = (Vec::new(), false);
    if ended {
        let truncated = check_length(&decoder, frames, cut_off)?;
        is_truncated = truncated.is_some();
        warnings.extend(truncated);
        warnings.extend(early_end(&decoder, frames));
        let span = decoder.span().unwrap_or(frames);
        // What an edit list cuts out would come back in a copy.
        gapless &= span.abs_diff(frames) as f64 <= MIN_GAP * f64::from(decoder.rate);
        frames = decoder.without_padding(frames, span);
    }
    Ok(Probe {
        rate: decoder.rate,
        channels: decoder.channels,
        frames,
        origin: decoder.origin.unwrap_or(0),
        gapless,
        meter,
        is_truncated,
        warnings,
    })
}

/// Fails, or warns, if the header states a longer duration than was decoded.
fn check_length(decoder: &Decoder, frames: u64, cut_off: Truncated) -> Result<Option<String>> {
    let demuxer = &decoder.demuxer;
    let Some(stream) = demuxer.input.stream(demuxer.stream) else {
        return Ok(None);
    };
    let stated = stream.duration() as f64 * f64::from(demuxer.time_base);
    let actual = frames as f64 / f64::from(decoder.rate);
    let is_exact = EXACT_DURATIONS.contains(&demuxer.input.format().name());
    if !is_exact || stated <= actual + DURATION_TOLERANCE {
        return Ok(None);
    }
    let why = format!("its header says {stated:.2} s, but the file ends after {actual:.2} s");
    truncated(&demuxer.path, &why, cut_off)
}

/// Warns if the audio ends long before the video of its file.
fn early_end(decoder: &Decoder, frames: u64) -> Option<String> {
    let seconds = frames as f64 / f64::from(decoder.rate);
    let end = decoder.demuxer.video_end()?;
    (end > seconds + EARLY_END).then(|| {
        format!(
            "the audio of `{}` ends after {seconds:.2} s, though the file lasts {end:.2} s",
            decoder.demuxer.path.display()
        )
    })
}
