//! Reads a finished clip back and compares it with what was asked for.

use std::path::Path;

use anyhow::{Context as _, Result};
use ff::format::context::Input;
use ff::{Dictionary, codec};
use ffmpeg_next as ff;

use crate::ffmpeg;
use crate::timeline::FrameRate;

/// What a finished clip must hold.
pub(super) struct Expected {
    pub(super) video: codec::Id,
    pub(super) audio: codec::Id,
    pub(super) fps: FrameRate,
    pub(super) frames: u64,
    /// Length of both streams.
    pub(super) seconds: f64,
}

/// How long a stream of the file is.
#[derive(Debug, Clone, Copy, Default)]
struct Length {
    packets: u64,
    seconds: f64,
    /// How much longer than the audio it may be, in seconds: Matroska ends with a whole block.
    slack: f64,
}

/// Fails if the file at `path` is not what is expected.
pub(super) fn verify(path: &Path, expected: &Expected) -> Result<()> {
    let &Expected {
        fps,
        frames,
        seconds,
        ..
    } = expected;
    let mut input =
        ffmpeg::open::input(path, Dictionary::new()).context("it cannot be reopened")?;
    let find = |medium, id: codec::Id| {
        let stream = input.streams().best(medium);
        let found = stream.filter(|s| s.parameters().id() == id);
        found
            .map(|s| s.index())
            .with_context(|| format!("it has no {} stream", id.name()))
    };
    let video = find(ff::media::Type::Video, expected.video)?;
    let audio = find(ff::media::Type::Audio, expected.audio)?;
    let [video, audio] = lengths(&mut input, [video, audio]);
    anyhow::ensure!(
        video.packets == frames,
        "it has {} frames instead of {}",
        video.packets,
        frames
    );
    let tolerance = 1.0 / fps.as_f64() + 1e-3;
    for (stream, what) in [(video, "video"), (audio, "audio")] {
        let over = stream.seconds - seconds;
        anyhow::ensure!(
            (-tolerance..=tolerance + stream.slack).contains(&over),
            "its {what} lasts {:.3} s instead of {seconds:.3} s",
            stream.seconds
        );
    }
    Ok(())
}

/// The lengths of these streams: from the file's index, or, as Matroska has none, by reading the whole file.
fn lengths(input: &mut Input, streams: [usize; 2]) -> [Length; 2] {
    let indexed = streams.map(|index| {
        let stream = input.stream(index)?;
        let seconds = stream.duration() as f64 * f64::from(stream.time_base());
        (stream.frames() > 0).then(|| Length {
            packets: stream.frames() as u64,
            seconds,
            slack: 0.0,
        })
    });
    if let [Some(first), Some(second)] = indexed {
        return [first, second];
    }
    let mut lengths = streams.map(|_| Length::default());
    for (stream, packet) in input.packets() {
        if let Some(of) = streams.iter().position(|&index| index == stream.index()) {
            let base = f64::from(stream.time_base());
            let duration = packet.duration() as f64 * base;
            let start = packet.pts().unwrap_or_default() as f64 * base;
            let length = &mut lengths[of];
            length.packets += 1;
            length.seconds = length.seconds.max(start + duration);
            length.slack = length.slack.max(duration);
        }
    }
    lengths
}
