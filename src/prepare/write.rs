//! The second pass: writes the chosen frames and what belongs to them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use hound::{SampleFormat, WavSpec, WavWriter};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use serde::Serialize;

use super::landmarks_file::LandmarksFile;
use super::picture::{self, Sample};
use super::prepared::Prepared;
use super::square;
use super::track::{self, TrackedPicture};
use crate::audio::AudioFile;
use crate::background::Footage;
use crate::cancel::Cancel;
use crate::draw;
use crate::face::{FaceNetworks, Tracker};
use crate::image::Picture;
use crate::output::{StagedOutput, Target};

/// Frames that are shown in `prepare.png`.
const SAMPLES: usize = 8;

/// Writes the folder; it appears complete or not at all.
pub(super) fn write<N: FaceNetworks>(
    prepared: &Prepared,
    footage: &Footage,
    tracker: &mut Tracker<N>,
    target: Target,
    cancel: &Cancel,
) -> Result<()> {
    let folder = Folder(target.begin()?);
    let scan = &prepared.scan;
    let squares = square::squares(&scan.chosen_faces(), scan.size);
    let samples = folder.write_frames(prepared, footage, tracker, &squares, cancel)?;
    folder.write_json("crop_rects.json", &squares)?;
    folder.write_json("prepare.json", prepared)?;
    if footage.has_audio() {
        folder.write_audio(prepared, footage)?;
    }
    let page = picture::draw(prepared, &samples, &squares);
    draw::write(&page, &folder.path("prepare.png"), &folder.0)?;
    cancel.check()?;
    folder.0.commit()
}

/// The folder while it is written.
struct Folder(StagedOutput);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn cannot_write(&self, error: &std::io::Error) -> anyhow::Error {
        self.0.cannot_write(error).into()
    }

    /// Writes frames and landmarks. Returns some frames, evenly spaced.
    fn write_frames<N: FaceNetworks>(
        &self,
        prepared: &Prepared,
        footage: &Footage,
        tracker: &mut Tracker<N>,
        squares: &[[u32; 4]],
        cancel: &Cancel,
    ) -> Result<Vec<Sample>> {
        let scan = &prepared.scan;
        let path = self.path("landmarks.json");
        let mut points =
            LandmarksFile::create(&path, scan.size, scan.fps).map_err(|e| self.cannot_write(&e))?;
        let first = scan.first + scan.chosen.start;
        let frames = first..scan.first + scan.chosen.end;
        let count = frames.len();
        let mut samples: Vec<Sample> = Vec::new();
        track::track(footage, frames, tracker, cancel, |tracked| {
            let TrackedPicture {
                index,
                picture,
                landmarks,
                ..
            } = tracked;
            let number = index - first;
            self.write_frame(&picture, &self.path(&format!("{number:06}.png")))?;
            if number * SAMPLES / count >= samples.len() {
                samples.push(Sample {
                    picture: draw::to_image(&picture),
                    landmarks: landmarks.clone(),
                    square: squares[number],
                    seconds: scan.seconds(scan.chosen.start + number),
                });
            }
            points.push(landmarks).map_err(|e| self.cannot_write(&e))
        })?;
        points.finish().map_err(|e| self.cannot_write(&e))?;
        Ok(samples)
    }

    fn write_frame(&self, picture: &Picture, path: &Path) -> Result<()> {
        // In memory first: the encoder's errors do not tell a full disk from others.
        let mut bytes = Vec::new();
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
            .write_image(
                &picture.pixels,
                picture.width as u32,
                picture.height as u32,
                ExtendedColorType::Rgb8,
            )?;
        fs::write(path, bytes).map_err(|e| self.cannot_write(&e))
    }

    fn write_json(&self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let text = serde_json::to_string_pretty(value)? + "\n";
        fs::write(self.path(name), text).map_err(|e| self.cannot_write(&e))
    }

    /// Writes the audio of the chosen frames as 16-bit WAV, at its own rate.
    fn write_audio(&self, prepared: &Prepared, footage: &Footage) -> Result<()> {
        let audio = AudioFile::open(footage.path(), None)?;
        let sample = |seconds: f64| (seconds * f64::from(audio.rate)).round() as u64;
        let range = sample(prepared.from_s)..sample(prepared.to_s).min(audio.frames);
        let spec = WavSpec {
            channels: audio.channels,
            sample_rate: audio.rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let failed = |e: hound::Error| match e {
            hound::Error::IoError(e) => self.cannot_write(&e),
            other => other.into(),
        };
        let mut wav = WavWriter::create(self.path("audio.wav"), spec).map_err(failed)?;
        let mut reader = audio.slice(range)?;
        let mut samples = Vec::new();
        loop {
            let more = reader.read(&mut samples)?;
            for sample in samples.drain(..) {
                let scaled = (sample * 32768.0).round();
                // The cast saturates.
                wav.write_sample(scaled as i16).map_err(failed)?;
            }
            if !more {
                break;
            }
        }
        wav.finalize().map_err(failed)
    }
}
