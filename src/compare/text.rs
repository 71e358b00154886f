//! A comparison for people to read.

use std::fmt;

use super::{Comparison, Facts, FrameFigures};
use crate::sync::Sync;

impl fmt::Display for Comparison {
    /// Both sides, the figures of all frames, the worst ones, sound and sync, the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:9} {value}")?;
        }
        let worst: Vec<&FrameFigures> = self.worst_frames().collect();
        if !worst.is_empty() {
            writeln!(
                f,
                "\nworst frames\n{:>9} {:>9} {:>9} {:>9} {:>9}  at",
                "frame", "time", "PSNR", "SSIM", "largest"
            )?;
            for frame in worst {
                writeln!(f, "{}", line(frame))?;
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
            let equal = self
                .overall
                .as_ref()
                .is_some_and(|o| o.failed == 0 && o.equal == self.frames.len());
            writeln!(f, "{}", if equal { "equal" } else { "within the limits" })?;
        }
        Ok(())
    }
}

impl Comparison {
    /// Names and values, for text and pictures.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("expected", side(&self.expected)),
            ("actual", side(&self.actual)),
        ];
        match &self.overall {
            None => rows.push(("frames", "not compared: they have other sizes".into())),
            Some(overall) => {
                rows.push((
                    "frames",
                    format!(
                        "{} compared in {}, {} bits: {} equal, {} outside the limits",
                        self.frames.len(),
                        self.compared_in,
                        self.depth,
                        overall.equal,
                        overall.failed
                    ),
                ));
                let planes = overall.planes.iter();
                let each: Vec<String> = planes
                    .map(|p| format!("{} {}", p.plane, psnr_words(p.psnr_db)))
                    .collect();
                rows.push((
                    "PSNR",
                    format!(
                        "{} dB of all frames, {} dB at the lowest ({})",
                        psnr_words(overall.psnr_db),
                        psnr_words(overall.lowest_psnr_db),
                        each.join(", ")
                    ),
                ));
                rows.push((
                    "SSIM",
                    format!(
                        "{:.4} in the mean, {:.4} at the lowest",
                        overall.ssim, overall.lowest_ssim
                    ),
                ));
                rows.push((
                    "largest",
                    format!("{} of {}", overall.max_abs, (1_u32 << self.depth) - 1),
                ));
            }
        }
        if let Some(sound) = &self.sound {
            let offset = match sound.offset_ms {
                Some(ms) => format!("offset {ms:+.1} ms"),
                None => "no common offset".into(),
            };
            rows.push((
                "sound",
                format!(
                    "length {:+.3} s, {offset}, level {:+.2} dB, likeness {:.3}",
                    sound.length_s, sound.level_db, sound.likeness
                ),
            ));
        }
        for (name, sync) in [
            ("expected", &self.sync.expected),
            ("actual", &self.sync.actual),
        ] {
            if let Some(sync) = sync {
                rows.push(("sync", format!("{name}: {}", lag_words(sync))));
            }
        }
        if let Some(apart) = self.sync.apart_ms {
            rows.push(("sync", format!("{apart:+.0} ms from expected to actual")));
        }
        rows
    }
}

fn side(facts: &Facts) -> String {
    let mut words = vec![
        format!("`{}`", facts.path),
        format!("{} frames", facts.frames),
    ];
    words.push(format!("{}x{}", facts.width, facts.height));
    words.extend(facts.rate.as_ref().map(|rate| {
        let short = rate.strip_suffix("/1").unwrap_or(rate);
        format!("{short} fps")
    }));
    words.extend(facts.codec.clone());
    words.extend(facts.pix_fmt.clone());
    words.extend(facts.colours.clone());
    if let (Some(codec), Some(seconds)) = (&facts.sound, facts.sound_s) {
        words.push(format!("sound {codec} {seconds:.3} s"));
    }
    words.join(", ")
}

fn lag_words(sync: &Sync) -> String {
    if sync.is_sure {
        format!(
            "lag {:+.0} ms, correlation {:.2}",
            sync.lag_ms, sync.correlation
        )
    } else {
        format!(
            "not sure (correlation {:.2}, {:.2} by chance)",
            sync.correlation, sync.by_chance
        )
    }
}

fn line(frame: &FrameFigures) -> String {
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
        psnr_words(frame.psnr_db),
        frame.ssim,
        frame.max_abs
    )
}

/// `38.21`, or `inf` where nothing differs.
pub(super) fn psnr_words(db: Option<f64>) -> String {
    db.map_or("inf".into(), |db| format!("{db:.2}"))
}
