//! `lipsync compare`: whether a clip is what it was expected to be.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::ui::Ui;
use crate::cancel::Cancel;
use crate::compare::{self, Comparison, Limits};
use crate::error::Fault;
use crate::output::{OutputKind, Target};
use crate::sync::Making;

/// Say whether a clip is what it was expected to be: frame by frame, and its sound
#[derive(Debug, Args)]
#[command(
    after_help = "Without a limit, frames must be equal. Every frame must keep every limit; count, size, rate, colour tags and \
    sound must agree as well (docs/compare.md).\n\
    Exit code 0: as expected; 3: they differ; 1: a file cannot be read.\n\n\
    Examples:\n  \
    lipsync compare golden.mp4 now.mp4 --min-psnr 40 --diff diff\n  \
    lipsync compare golden-frames frames --max-abs 3\n  \
    lipsync compare golden.mp4 frames --min-ssim 0.98 --json | jq .overall"
)]
pub(super) struct CompareArgs {
    /// The clip as it should be: a video, or a folder of PNG or JPEG frames
    #[arg(value_hint = ValueHint::AnyPath)]
    expected: PathBuf,
    /// The clip as it is
    #[arg(value_hint = ValueHint::AnyPath)]
    actual: PathBuf,
    /// The least PSNR of a frame
    #[arg(long, value_name = "DB", value_parser = decibels)]
    min_psnr: Option<f64>,
    /// The least SSIM of a frame, up to 1
    #[arg(long, value_name = "X", value_parser = similarity)]
    min_ssim: Option<f64>,
    /// The largest difference of two samples, in levels (255 is full scale of 8 bits)
    #[arg(long, value_name = "N")]
    max_abs: Option<u16>,
    /// Draw the worst frames (expected, difference, actual) and a plot over time: PNGs in a new folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    diff: Option<PathBuf>,
    /// Write JSON instead of text (docs/compare.schema.json)
    #[arg(long)]
    json: bool,
    /// The frames or the video that both clips were rendered with: shows more clearly how the mouth moves
    #[arg(short, long, value_name = "DIR|VIDEO", value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Its crop rectangles, or those of both clips [default: in or beside the background; beside each clip, in
    /// NAME.crop_rects.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// Replace an existing folder of --diff
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

/// Compares, draws, tells.
pub(super) fn compare(args: CompareArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let pictures = args.diff.map(|path| Target {
        path,
        kind: OutputKind::Pictures,
        force: args.force,
    });
    if let Some(target) = &pictures {
        target.check()?;
    }
    let limits = Limits {
        min_psnr_db: args.min_psnr,
        min_ssim: args.min_ssim,
        max_abs: args.max_abs,
    };
    let making = Making {
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
    if let Some(shown) = &drawn {
        ui.say(&format!("wrote `{shown}`"));
    }
    if comparison.same {
        return Ok(());
    }
    let message = format!(
        "`{}` differs from `{}`",
        args.actual.display(),
        args.expected.display()
    );
    let hint = match drawn {
        Some(shown) => format!("`{shown}` shows the worst frames, and all of them over time"),
        None => "--diff DIR draws the worst frames, and all of them over time".into(),
    };
    Err(Fault::partial(message)
        .because(comparison.differences.join("\n"))
        .hint(hint)
        .into())
}
