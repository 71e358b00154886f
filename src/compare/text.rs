//! The result of a comparison as text for people.

use std::fmt;

use super::Comparison;
use super::audio::AudioDifference;
use super::input::InputInfo;
use super::lip_sync::LipSync;
use super::metrics::{FrameFigures, OverallFigures};
use crate::sync::Sync;

/// A label and a value.
type Row = (&'static str, String);

impl fmt::Display for Comparison {
    /// Both inputs, the figures of all frames, audio and lip sync, the worst frames, the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in rows {
            writeln!(f, "{label:width$}  {value}")?;
        }
        let worst: Vec<&FrameFigures> = self.worst_frames().collect();
        if !worst.is_empty() {
            writeln!(
                f,
                "\nworst frames\n{:>9} {:>9} {:>9} {:>9} {:>9}  position",
                "frame", "time", "PSNR", "SSIM", "max diff"
            )?;
            for frame in worst {
                writeln!(f, "{}", table_line(frame))?;
            }
        }
        writeln!(f)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for difference in &self.differences {
            writeln!(f, "differs: {difference}")?;
        }
        if self.same {
            let identical = self
                .overall
                .as_ref()
                .is_some_and(|o| o.failed == 0 && o.equal == self.frames.len());
            let verdict = if identical {
                "all frames are identical"
            } else {
                "within the limits"
            };
            writeln!(f, "{verdict}")?;
        }
        Ok(())
    }
}

impl Comparison {
    /// Labels and values, for text and pictures.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            ("expected", input_words(&self.expected)),
            ("actual", input_words(&self.actual)),
        ];
        match &self.overall {
            None => rows.push(("frames", "not compared: the sizes differ".into())),
            Some(overall) => rows.extend(self.frame_rows(overall)),
        }
        rows.extend(self.sound.iter().map(|audio| ("audio", audio_words(audio))));
        rows.extend(sync_rows(&self.sync));
        rows
    }

    fn frame_rows(&self, overall: &OverallFigures) -> [Row; 4] {
        let planes = overall.planes.iter();
        let planes: Vec<String> = planes
            .map(|p| format!("{} {}", p.plane, format_psnr(p.psnr_db)))
            .collect();
        [
            (
                "frames",
                format!(
                    "{} compared in {} ({}-bit): {} identical, {} outside the limits",
                    self.frames.len(),
                    self.compared_in,
                    self.depth,
                    overall.equal,
                    overall.failed
                ),
            ),
            (
                "PSNR",
                format!(
                    "{} dB overall ({}), lowest {} dB",
                    format_psnr(overall.psnr_db),
                    planes.join(", "),
                    format_psnr(overall.lowest_psnr_db)
                ),
            ),
            (
                "SSIM",
                format!(
                    "{:.4} overall, lowest {:.4}",
                    overall.ssim, overall.lowest_ssim
                ),
            ),
            (
                "max diff",
                format!("{} of {}", overall.max_abs, (1_u32 << self.depth) - 1),
            ),
        ]
    }
}

/// `` `a.mp4`: 50 frames, 160x96, 25 fps, h264, yuv420p, bt709 tv, audio aac 2.000 s ``.
fn input_words(info: &InputInfo) -> String {
    let mut words = vec![
        format!("{} frames", info.frames),
        format!("{}x{}", info.width, info.height),
    ];
    words.extend(info.rate.as_ref().map(|rate| {
        let short = rate.strip_suffix("/1").unwrap_or(rate);
        format!("{short} fps")
    }));
    words.extend(info.codec.clone());
    words.extend(info.pix_fmt.clone());
    words.extend(info.colours.clone());
    if let (Some(codec), Some(seconds)) = (&info.sound, info.sound_s) {
        words.push(format!("audio {codec} {seconds:.3} s"));
    }
    format!("`{}`: {}", info.path, words.join(", "))
}

fn audio_words(audio: &AudioDifference) -> String {
    let offset = match audio.offset_ms {
        Some(ms) => format!("offset {ms:+.1} ms"),
        None => "no common offset".into(),
    };
    format!(
        "length {:+.3} s, {offset}, level {:+.2} dB, likeness {:.3}",
        audio.length_s, audio.level_db, audio.likeness
    )
}

fn sync_rows(sync: &LipSync) -> Vec<Row> {
    let clips = [
        ("expected sync", &sync.expected),
        ("actual sync", &sync.actual),
    ];
    let mut rows: Vec<Row> = clips
        .into_iter()
        .filter_map(|(label, sync)| Some((label, lag_words(sync.as_ref()?))))
        .collect();
    rows.extend(
        sync.apart_ms
            .map(|ms| ("sync change", format!("{ms:+.0} ms"))),
    );
    rows
}

fn lag_words(sync: &Sync) -> String {
    if sync.is_sure {
        format!(
            "audio lag {:+.0} ms, correlation {:.2}",
            sync.lag_ms, sync.correlation
        )
    } else {
        format!(
            "unclear (correlation {:.2}, {:.2} by chance)",
            sync.correlation, sync.by_chance
        )
    }
}

/// A line of the table of the worst frames.
fn table_line(frame: &FrameFigures) -> String {
    let time = frame.seconds.map_or("-".into(), |s| format!("{s:.2} s"));
    let mark = if frame.passes {
        ""
    } else {
        "  outside the limits"
    };
    let [x, y] = frame.at;
    format!(
        "{:>9} {time:>9} {:>9} {:>9.4} {:>9}  {x}, {y}{mark}",
        frame.frame,
        format_psnr(frame.psnr_db),
        frame.ssim,
        frame.max_abs
    )
}

/// `38.21`, or `inf` if nothing differs.
pub(super) fn format_psnr(db: Option<f64>) -> String {
    db.map_or("inf".into(), |db| format!("{db:.2}"))
}
