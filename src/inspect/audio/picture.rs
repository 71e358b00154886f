//! Draws an audio file: its waveform and mel spectrogram, where nobody speaks, where it is clipped.

use anyhow::Result;
use image::RgbImage;

use super::AudioInfo;
use crate::audio::SPEECH_RATE;
use crate::audio::mel::{self, BANDS, HOP, MelFrame, MelSpectrogram};
use crate::cancel::Cancel;
use crate::draw::{BLUE, Canvas, Chart, Colour, ORANGE, RED};

/// Seconds per row: single frames are still visible.
const ROW_SECONDS: f64 = 12.0;
/// Most rows of a picture; longer audio is drawn denser.
const MAX_ROWS: usize = 6;
/// Height of a waveform and of a spectrogram, in pixels.
const HEIGHTS: [i32; 2] = [120, 160];
/// What pauses are shaded with.
const PAUSE: Colour = ORANGE;
/// Frequencies named beside a spectrogram.
const FREQUENCIES_HZ: [f64; 5] = [100.0, 1000.0, 2000.0, 4000.0, 7600.0];
/// Values of a mel frame that are drawn darkest and brightest.
const MEL_RANGE: [f32; 2] = [-4.0, 4.0];

pub(super) fn draw(
    info: &AudioInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let rows = ((info.seconds / ROW_SECONDS).ceil() as usize).clamp(1, MAX_ROWS);
    let seconds = (info.seconds / rows as f64).max(0.1);
    let columns = columns(info, seconds, rows, cancel)?;
    let subtitle = "Audio, as the networks get it: mono, 16 kHz";
    let mut canvas = Canvas::new(path, subtitle);
    canvas.rows(&info.rows());
    canvas.findings(warnings, 6);
    canvas.heading(
        "Waveform and mel spectrogram",
        &[
            (BLUE, "samples"),
            (PAUSE, "pause of 0.3 s or more"),
            (RED, "clipped"),
        ],
    );
    for (row, columns) in columns.iter().enumerate() {
        let from = row as f64 * seconds;
        draw_row(&mut canvas, info, [from, from + seconds], columns);
    }
    if seconds <= ROW_SECONDS {
        canvas.note("Short ticks are video frames at 25 fps. Brighter is louder.");
    }
    Ok(canvas.finish())
}

/// One row: the waveform, the spectrogram under it, seconds.
fn draw_row(canvas: &mut Canvas, info: &AudioInfo, time: [f64; 2], columns: &Columns) {
    let chart = Chart::new(canvas, HEIGHTS[0], time, [-1.0, 1.0]);
    for [start, end] in &info.pauses_s {
        chart.shade(canvas, *start, *end, PAUSE);
    }
    chart.grid(canvas);
    chart.scale(canvas, &[(1.0, "1"), (0.0, "0"), (-1.0, "\u{2212}1")]);
    chart.waveform(canvas, &columns.wave, BLUE);
    for at in &info.clipped_at_s {
        chart.mark(canvas, *at, RED, 3);
    }
    chart.ruler(canvas, 25.0);
    canvas.y += 8;
    let chart = Chart::new(canvas, HEIGHTS[1], time, [0.0, BANDS as f64]);
    let names = FREQUENCIES_HZ.map(|hz| format!("{hz} Hz"));
    let bands = FREQUENCIES_HZ.map(mel::hz_to_band).into_iter();
    let bands: Vec<(f64, &str)> = bands.zip(names.iter().map(String::as_str)).collect();
    chart.scale(canvas, &bands);
    chart.heat_map(canvas, &columns.mel, MEL_RANGE);
    chart.labels(canvas, " s");
    canvas.y += 10;
}

/// What is drawn in one row: one value per column.
struct Columns {
    /// Lowest and highest sample.
    wave: Vec<(f32, f32)>,
    /// Mel frames; where several share a column, the loudest of each band.
    mel: Vec<MelFrame>,
}

fn columns(info: &AudioInfo, seconds: f64, rows: usize, cancel: &Cancel) -> Result<Vec<Columns>> {
    let width = Chart::columns();
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
    let wave = filled(wave, (0.0, 0.0));
    let mel = filled(mel, [MEL_RANGE[0]; BANDS]);
    let rows = wave.chunks(width).zip(mel.chunks(width));
    Ok(rows
        .map(|(wave, mel)| Columns {
            wave: wave.to_vec(),
            mel: mel.to_vec(),
        })
        .collect())
}

/// Columns without a value repeat the one to their left.
fn filled<T: Copy>(columns: Vec<Option<T>>, start: T) -> Vec<T> {
    columns
        .into_iter()
        .scan(start, |last, value| {
            *last = value.unwrap_or(*last);
            Some(*last)
        })
        .collect()
}
