//! `lipsync compare`: compares a clip with a reference.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};

use super::ui::Ui;
use crate::cancel::Cancel;
use crate::compare::{self, Comparison, Limits};
use crate::error::Fault;
use crate::output::{OutputKind, RunFiles, Target};
use crate::sync::RenderInputs;

/// Compare a clip with a reference, frame by frame, and their audio
///
/// Without a limit, frames must be identical; with limits, every frame must meet all of them. Frame count, size, rate, colour
/// tags and audio must match as well. docs/compare.md explains the figures.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the clips match, 3 they differ, 1 a file cannot be read.

Examples:
  lipsync compare golden.mp4 now.mp4 --min-psnr 40 --diff diff
  lipsync compare golden-frames frames --max-abs 3
  lipsync compare golden.mp4 frames --min-ssim 0.98 --json | jq .overall")]
pub(super) struct CompareArgs {
    /// Reference: a video, or a folder of PNG or JPEG frames
    #[arg(value_hint = ValueHint::AnyPath)]
    expected: PathBuf,
    /// Clip to check: a video, or a folder of PNG or JPEG frames
    #[arg(value_hint = ValueHint::AnyPath)]
    actual: PathBuf,
    /// Minimum PSNR of each frame, in dB
    #[arg(long, value_name = "DB", value_parser = decibels)]
    min_psnr: Option<f64>,
    /// Minimum SSIM of each frame, up to 1
    #[arg(long, value_name = "X", value_parser = similarity)]
    min_ssim: Option<f64>,
    /// Maximum difference between two samples, in levels (8-bit full scale is 255)
    #[arg(long, value_name = "N")]
    max_abs: Option<u16>,
    /// Draw the worst frames and a plot over time into this new folder
    ///
    /// Each PNG of a frame shows expected, difference and actual side by side.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    diff: Option<PathBuf>,
    /// Print JSON instead of text (docs/compare.schema.json)
    #[arg(long)]
    json: bool,
    /// Background that both clips were rendered with, to measure mouth movement more precisely
    #[arg(short, long, value_name = "DIR|VIDEO", value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Crop rectangles of the background or of both clips [default: in or next to them]
    ///
    /// Next to a clip, they are in NAME.crop_rects.json.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// Replace an existing --diff folder
    #[arg(short, long)]
    force: bool,
}

fn decibels(text: &str) -> Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|db: &f64| (0.0..=200.0).contains(db));
    value.ok_or_else(|| "expected 0 to 200 dB".into())
}

fn similarity(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|x: &f64| (-1.0..=1.0).contains(x));
    value.ok_or_else(|| "expected -1 to 1".into())
}

/// Compares, draws and prints the differences; fails if there are any.
pub(super) fn compare(args: CompareArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let pictures = args.diff.map(|path| Target {
        path,
        kind: OutputKind::Pictures,
        force: args.force,
    });
    if let Some(target) = &pictures {
        RunFiles::default()
            .output("--diff", target)
            .input("the reference", &args.expected)
            .input("the clip", &args.actual)
            .inputs("the background", args.background.as_deref())
            .inputs("the crop rectangles", args.crop_rects.as_deref())
            .check()?;
        target.check()?;
    }
    let limits = Limits {
        min_psnr_db: args.min_psnr,
        min_ssim: args.min_ssim,
        max_abs: args.max_abs,
    };
    let making = RenderInputs {
        background: args.background,
        crop_rects: args.crop_rects,
    };
    let comparison = {
        let mut progress = None;
        Comparison::of(
            &args.expected,
            &args.actual,
            limits,
            &making,
            cancel,
            &mut |done, all| {
                let shown = progress.get_or_insert_with(|| ui.progress(all));
                shown.update(done.min(all));
            },
        )?
    };
    let drawn = pictures
        .as_ref()
        .map(|target| target.path.display().to_string());
    if let Some(target) = pictures {
        compare::draw(&comparison, target, cancel)?;
    }
    if args.json {
        ui.data(&(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    } else {
        ui.data(&comparison.to_string())?;
    }
    if let Some(folder) = &drawn {
        ui.say(&format!("wrote `{folder}`"));
    }
    if comparison.same {
        return Ok(());
    }
    Err(difference(&args.expected, &args.actual, &comparison, drawn.as_deref()).into())
}

/// The error if the clips differ. `drawn` is the folder of --diff.
fn difference(
    expected: &Path,
    actual: &Path,
    comparison: &Comparison,
    drawn: Option<&str>,
) -> Fault {
    let message = format!(
        "`{}` differs from `{}`",
        actual.display(),
        expected.display()
    );
    let hint = match drawn {
        Some(folder) => format!("see the worst frames and a plot over time in `{folder}`"),
        None => "draw the worst frames and a plot over time with --diff DIR".into(),
    };
    Fault::partial(message)
        .because(comparison.differences.join("\n"))
        .hint(hint)
}
