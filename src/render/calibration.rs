//! Calibration samples of a presenter: crops and audio windows that quantized networks are fitted to and measured on.

use anyhow::Result;

use crate::assets;
use crate::audio::AudioFile;
use crate::audio::window::WINDOW_LEN;
use crate::audio::window_reader::WindowReader;
use crate::background::{BackgroundCache, Backgrounds, FrameFormats};
use crate::inference::AudioEncoder;
use crate::inference::precision::CalibrationSamples;
use crate::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// How many crops, and how many audio windows.
const COUNT: u64 = 16;
/// The bundled speech.
const SPEECH: &str = "samples/hello.wav";
/// Frames between two audio windows.
const STRIDE: u64 = 5;

/// Whether speech is bundled. Otherwise, the samples are taken from the clip's own audio.
pub(crate) fn has_speech() -> bool {
    assets::home().is_ok_and(|home| home.join(SPEECH).is_file())
}

/// Crops spread over `backgrounds`, and windows of the bundled speech, so that the samples depend on the presenter only; of
/// `audio` if no speech is bundled.
pub(crate) fn take(
    backgrounds: &Backgrounds,
    audio: &AudioFile,
    encoder: &mut dyn AudioEncoder,
) -> Result<CalibrationSamples> {
    let count = backgrounds.count() as u64;
    // In ascending order: a video is decoded forward.
    let indices: Vec<_> = (0..COUNT)
        .map(|n| BackgroundIndex((n * count / COUNT) as usize))
        .collect();
    let mut cache = BackgroundCache::new(backgrounds, 0, FrameFormats::default());
    let mut samples = CalibrationSamples::default();
    for index in indices {
        let mut decoded = Vec::new();
        cache.get(&[index], &mut decoded)?;
        samples.crops.extend(decoded.iter().map(|b| b.crop.clone()));
    }
    let bundled = assets::home().map(|home| home.join(SPEECH));
    let bundled = bundled.and_then(|path| AudioFile::open(&path, None)).ok();
    let speech = bundled.as_ref().unwrap_or(audio);
    let mut reader = WindowReader::new(speech, FrameRate::TRAINED, FrameIndex(0), encoder)?;
    let frames = FrameRate::TRAINED.frames_covering(speech.frames, speech.rate);
    let stride = STRIDE.min(frames / COUNT);
    for n in 0..COUNT {
        let mut window = vec![0.0; WINDOW_LEN];
        reader.window(FrameIndex(n * stride), &mut window)?;
        samples.windows.push(window);
    }
    Ok(samples)
}
