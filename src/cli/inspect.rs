//! `lipsync inspect`: what a file or folder is, and what is wrong with it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::ui::Ui;
use crate::cancel::Cancel;
use crate::draw;
use crate::inspect::Inspection;
use crate::output::{OutputKind, Target};
use crate::sync::Making;

/// Say what a file or folder is, and what is wrong with it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lipsync inspect speech.wav                    rate, length, loudness, pauses, clipping\n  \
    lipsync inspect frames/anna --png anna.png    gaps, jumps, blurred and doubled frames; drawn\n  \
    lipsync inspect models/ada                    inputs, outputs, precision, one run\n  \
    lipsync inspect clip.mp4 --json               streams, and whether sound and mouth agree\n  \
    lipsync inspect clip.mp4 -b frames/anna       the same, surer: the clip's own background is known\n\n\
    What was found goes to stdout, with a line `warning: ..` for each fault. Exit code 0: it could be inspected.")]
pub(super) struct InspectArgs {
    /// A model folder, an .onnx file, a background folder, a sound or a video
    path: PathBuf,
    /// Write JSON instead of text
    #[arg(long)]
    json: bool,
    /// Draw it: a PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Crop rectangles of a background folder or a video [default: in or beside the folder; beside the video, in
    /// NAME.crop_rects.json]
    #[arg(long, value_name = "FILE")]
    crop_rects: Option<PathBuf>,
    /// The frames or the video that a clip was rendered with: shows more clearly how the mouth moves
    #[arg(short, long, value_name = "DIR|VIDEO", value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Replace an existing picture
    #[arg(short, long)]
    force: bool,
}

/// Looks, draws, tells.
pub(super) fn inspect(args: InspectArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let picture = args.png.map(|path| Target {
        path,
        kind: OutputKind::File,
        force: args.force,
    });
    if let Some(target) = &picture {
        target.check()?;
    }
    let making = Making {
        background: args.background,
        crop_rects: args.crop_rects,
    };
    let inspection = Inspection::of(&args.path, &making, cancel)?;
    if let Some(target) = picture {
        let shown = target.path.display().to_string();
        draw::save(&inspection.draw(cancel)?, target)?;
        ui.say(&format!("wrote `{shown}`"));
    }
    if args.json {
        ui.data(&(serde_json::to_string_pretty(&inspection)? + "\n"))?;
    } else {
        ui.data(&inspection.to_string())?;
    }
    Ok(())
}
