//! Samples of a presenter: pictures and speech that integer networks are fitted to and measured on.

use anyhow::Result;

use crate::assets;
use crate::audio::AudioFile;
use crate::audio::window::WINDOW_LEN;
use crate::audio::window_reader::WindowReader;
use crate::background::{BackgroundCache, Backgrounds, FrameFormats};
use crate::inference::AudioEncoder;
use crate::inference::precision::CalibrationSamples;
use crate::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// Pictures, and moments of speech.
const COUNT: u64 = 16;
/// The bundled speech.
const SPEECH: &str = "samples/hello.wav";
/// Frames between two moments of speech.
const STRIDE: u64 = 5;

/// Whether speech is bundled; else samples are of the clip's own sound.
pub(crate) fn has_speech() -> bool {
    assets::home().is_ok_and(|home| home.join(SPEECH).is_file())
}

/// Pictures spread over `backgrounds`, and moments of the bundled speech, so that the same presenter always gives the same
/// samples; of `sound` where no speech is bundled.
pub(crate) fn take(
    backgrounds: &Backgrounds,
    sound: &AudioFile,
    encoder: &mut dyn AudioEncoder,
) -> Result<CalibrationSamples> {
    let count = backgrounds.count() as u64;
    // In rising order: a video is decoded forward.
    let indices: Vec<_> = (0..COUNT)
        .map(|n| BackgroundIndex((n * count / COUNT) as usize))
        .collect();
    let mut cache = BackgroundCache::new(backgrounds, 0, FrameFormats::default());
    let mut samples = CalibrationSamples::default();
    for index in indices {
        let mut found = Vec::new();
        cache.get(&[index], &mut found)?;
        samples.crops.extend(found.iter().map(|b| b.crop.clone()));
    }
    let bundled = assets::home().map(|home| home.join(SPEECH));
    let bundled = bundled.and_then(|path| AudioFile::open(&path, None)).ok();
    let speech = bundled.as_ref().unwrap_or(sound);
    let mut listener = WindowReader::new(speech, FrameRate::TRAINED, FrameIndex(0), encoder)?;
    let frames = FrameRate::TRAINED.frames_covering(speech.frames, speech.rate);
    let stride = STRIDE.min(frames / COUNT);
    for n in 0..COUNT {
        let mut window = vec![0.0; WINDOW_LEN];
        listener.window(FrameIndex(n * stride), &mut window)?;
        samples.windows.push(window);
    }
    Ok(samples)
}
