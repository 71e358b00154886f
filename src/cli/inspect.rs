//! `lipsync inspect`: describes a file or folder, and reports problems.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};

use super::ui::Ui;
use crate::cancel::Cancel;
use crate::draw;
use crate::inspect::Inspection;
use crate::output::{OutputKind, RunFiles, Target};
use crate::sync::RenderInputs;

/// Describe a model, background, audio file or video, and report problems
///
/// The description goes to stdout, with a line `warning: ...` for each problem. The exit code is 0 if PATH could be
/// inspected, whatever was found. docs/inspect.md explains the figures.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lipsync inspect speech.wav                    rate, length, loudness, pauses, clipping
  lipsync inspect frames/anna --png anna.png    gaps, jumps, blurred and repeated frames, drawn
  lipsync inspect models/ada                    inputs, outputs, precision, a test run
  lipsync inspect clip.mp4 --json               streams, and whether mouth and audio are in sync
  lipsync inspect clip.mp4 -b frames/anna       the same, more reliable: the background is known")]
pub(super) struct InspectArgs {
    /// A model folder, an .onnx file, a background folder, an audio file or a video
    path: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Draw the findings as a PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Crop rectangles of the background or video [default: in or next to it]
    ///
    /// Next to a video, they are in NAME.crop_rects.json.
    #[arg(long, value_name = "FILE")]
    crop_rects: Option<PathBuf>,
    /// Background that the video was rendered with, to measure mouth movement more precisely
    #[arg(short, long, value_name = "DIR|VIDEO", value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Replace an existing PNG
    #[arg(short, long)]
    force: bool,
}

/// Inspects, draws, and prints what was found.
pub(super) fn inspect(args: InspectArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let picture = args.png.map(|path| Target {
        path,
        kind: OutputKind::Streamable,
        force: args.force,
    });
    if let Some(target) = &picture {
        RunFiles::default()
            .printed("the description")
            .output("--png", target)
            .input("the inspected file", &args.path)
            .inputs(
                "the inspected file",
                files_of(&args.path).iter().map(PathBuf::as_path),
            )
            .inputs("the background", args.background.as_deref())
            .inputs("the crop rectangles", args.crop_rects.as_deref())
            .check()?;
        target.check()?;
    }
    let making = RenderInputs {
        background: args.background,
        crop_rects: args.crop_rects,
    };
    let inspection = Inspection::of(&args.path, &making, cancel)?;
    if let Some(target) = picture {
        let shown = target.path.display().to_string();
        draw::save(&inspection.draw(cancel)?, target, cancel)?;
        ui.say(&format!("wrote `{shown}`"));
    }
    if args.json {
        ui.data(&(serde_json::to_string_pretty(&inspection)? + "\n"))?;
    } else {
        ui.data(&inspection.to_string())?;
    }
    Ok(())
}

/// The files in a folder, if it is one.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
