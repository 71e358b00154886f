//! A sound drawn: what it looks like in time and in frequency, where nobody speaks, where it is clipped.

use anyhow::Result;
use image::RgbImage;

use super::AudioInfo;
use crate::audio::SPEECH_RATE;
use crate::audio::mel::{BANDS, HOP, MelFrame, MelSpectrogram};
use crate::cancel::Cancel;
use crate::draw::plot::Axis;
use crate::draw::{BLUE, Canvas, Colour, GREEN, RED, Type};

/// Seconds in a row: frames can be told apart.
const ROW_SECONDS: f64 = 12.0;
/// Rows of a picture; longer sounds are drawn denser.
const MOST_ROWS: usize = 6;
/// What pauses are shaded with.
const PAUSE: Colour = GREEN;

pub(super) fn draw(
    info: &AudioInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let rows = ((info.seconds / ROW_SECONDS).ceil() as usize).clamp(1, MOST_ROWS);
    let seconds = (info.seconds / rows as f64).max(0.1);
    let columns = columns(info, seconds, rows, cancel)?;
    let mut canvas = Canvas::new(
        path,
        "lipsync inspect: a sound, as the networks hear it (mono, 16 kHz)",
    );
    canvas.rows(&info.rows());
    canvas.y += 6;
    canvas.warnings(warnings, 6);
    canvas.heading(
        "Waveform and mel spectrogram",
        &[
            (BLUE, "samples, -1 to 1"),
            (PAUSE, "pause of 0.3 s or more"),
            (RED, "clipped"),
        ],
    );
    for (row, columns) in columns.iter().enumerate() {
        let from = row as f64 * seconds;
        wave(&mut canvas, info, (from, from + seconds), columns);
    }
    if seconds <= ROW_SECONDS {
        canvas.text(
            crate::draw::MARGIN,
            canvas.y,
            Type::Small,
            crate::draw::FAINT,
            "Small ticks: video frames at 25 a second, every fifth longer. Brighter is louder.",
        );
        canvas.y += Type::Small.line();
    }
    Ok(canvas.finish())
}

/// One row: the waveform, the spectrogram under it, seconds.
fn wave(canvas: &mut Canvas, info: &AudioInfo, (from, to): (f64, f64), columns: &Columns) {
    let axis = Axis::new(canvas, 120, from, to);
    axis.grid(canvas);
    axis.waveform(canvas, &columns.wave);
    for [start, end] in &info.pauses_s {
        axis.shade(canvas, *start, *end, PAUSE);
    }
    for at in &info.clipped_at_s {
        axis.mark(canvas, *at, RED, 3);
    }
    axis.ruler(canvas, 25.0);
    axis.scale(canvas, &[(1.0, "1"), (0.5, "0"), (0.0, "-1")]);
    canvas.y += 124;
    let axis = Axis::new(canvas, 160, from, to);
    axis.spectrogram(canvas, &columns.mel);
    axis.labels(canvas, " s");
    canvas.y += 8;
}

/// What is drawn of one row: one value a column.
struct Columns {
    /// Lowest and highest sample.
    wave: Vec<(f32, f32)>,
    /// Mel frames, the loudest where several fall on a column.
    mel: Vec<MelFrame>,
}

fn columns(info: &AudioInfo, seconds: f64, rows: usize, cancel: &Cancel) -> Result<Vec<Columns>> {
    let width = Axis::columns();
    let total = rows * width;
    let column = |at: f64| ((at / seconds * width as f64) as usize).min(total - 1);
    let mut wave = vec![None::<(f32, f32)>; total];
    let mut mel = vec![None::<MelFrame>; total];
    let mut frames = 0;
    let mut put = |frame: MelFrame| {
        let at = column(f64::from(frames) * HOP as f64 / f64::from(SPEECH_RATE));
        frames += 1;
        match &mut mel[at] {
            Some(there) => {
                for band in 0..BANDS {
                    there[band] = there[band].max(frame[band]);
                }
            }
            empty => *empty = Some(frame),
        }
    };
    let audio = &info.audio;
    let mut spectrogram = MelSpectrogram::new(audio.frames_at(SPEECH_RATE));
    let mut reader = audio.speech()?;
    let (mut samples, mut count, mut more) = (Vec::new(), 0_u64, true);
    while more {
        cancel.check()?;
        samples.clear();
        more = reader.read(&mut samples)?;
        for &sample in &samples {
            let (low, high) =
                wave[column(count as f64 / f64::from(SPEECH_RATE))].get_or_insert((sample, sample));
            (*low, *high) = (low.min(sample), high.max(sample));
            count += 1;
        }
        spectrogram.push(&samples, &mut put);
    }
    spectrogram.finish(&mut put);
    let wave = held(wave, (0.0, 0.0));
    let mel = held(mel, [-4.0; BANDS]);
    let rows = wave.chunks(width).zip(mel.chunks(width));
    Ok(rows
        .map(|(wave, mel)| Columns {
            wave: wave.to_vec(),
            mel: mel.to_vec(),
        })
        .collect())
}

/// Columns on which nothing fell show what stands left of them.
fn held<T: Copy>(columns: Vec<Option<T>>, start: T) -> Vec<T> {
    columns
        .into_iter()
        .scan(start, |last, value| {
            *last = value.unwrap_or(*last);
            Some(*last)
        })
        .collect()
}
