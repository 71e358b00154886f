//! `lipsync prepare`: footage of a person -> a background folder.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueHint};
use serde_json::json;

use super::ui::Ui;
use crate::assets;
use crate::cancel::Cancel;
use crate::inference::{OnnxFaceNetworks, Runtime};
use crate::output::{OutputKind, RunFiles, Target};
use crate::plan::request;
use crate::prepare::{PrepareOptions, Prepared, prepare as prepare_footage};
use crate::timeline::FrameRate;

/// Turn a video or photo of a person into a background folder
///
/// Finds the face in each frame, and picks the calmest stretch: no cuts, no blur, the head turned little, the mouth at
/// rest or nearly so. Writes a folder that `lipsync render -b DIR` accepts: frames, crop_rects.json, landmarks.json,
/// audio.wav, prepare.json, and prepare.png, which shows what was found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lipsync prepare talk.mp4 -o anna                   the calmest 10 seconds of a video
  lipsync prepare talk.mp4 -o anna --from 12 --to 40
  lipsync prepare portrait.jpg -o anna               a photo
  lipsync prepare talk.mp4 -o footage --every-frame  everything, to train on")]
pub(super) struct PrepareArgs {
    /// Video, photo, or folder of numbered pictures
    #[arg(value_name = "VIDEO|PHOTO|FOLDER", value_hint = ValueHint::AnyPath)]
    source: PathBuf,
    /// Folder to write
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: PathBuf,
    /// Length of the stretch to write
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = request::seconds, conflicts_with = "every_frame")]
    background: f64,
    /// Ignore what comes before this time
    #[arg(long, value_name = "SECONDS", value_parser = request::seconds)]
    from: Option<f64>,
    /// Ignore what comes after this time
    #[arg(long, value_name = "SECONDS", value_parser = request::seconds)]
    to: Option<f64>,
    /// Of several faces, the N-th by size, from 1
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..))]
    face: u8,
    /// Frames per second of the folder: 25, 29.97 or 30000/1001
    #[arg(long, value_name = "N[/D]", default_value = "25")]
    fps: FrameRate,
    /// Write all frames, also those that are not fit to be a background
    #[arg(long)]
    every_frame: bool,
    /// Replace an existing folder
    #[arg(short, long)]
    force: bool,
}

/// Prepares, and prints what was found.
pub(super) fn prepare(args: PrepareArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let started = Instant::now();
    let target = Target {
        path: args.output,
        kind: OutputKind::Prepared,
        force: args.force,
    };
    RunFiles::default()
        .output("-o", &target)
        .input("the footage", &args.source)
        .check()?;
    target.check()?;
    let runtime = Runtime::load(&assets::runtime_library()?)?;
    let networks = OnnxFaceNetworks::load(&runtime, &assets::home()?.join("models/face"))?;
    let options = PrepareOptions {
        source: args.source,
        fps: args.fps,
        seconds: args.background,
        from: args.from,
        to: args.to,
        face: usize::from(args.face) - 1,
        every_frame: args.every_frame,
    };
    let shown = target.to_string();
    let mut progress = None;
    let prepared = prepare_footage(&options, networks, target, cancel, |done, all| {
        progress
            .get_or_insert_with(|| ui.progress(all))
            .update(done);
    })?;
    drop(progress);
    for finding in prepared.findings() {
        ui.warn(&finding);
    }
    report(&prepared, &shown, started, ui);
    Ok(())
}

fn report(prepared: &Prepared, shown: &str, started: Instant, ui: &Ui) {
    let took = started.elapsed().as_secs_f64();
    ui.event(
        "success",
        json!({
            "output": shown.trim_matches('`'),
            "frames": prepared.frames,
            "from_s": prepared.from_s,
            "to_s": prepared.to_s,
            "wall_s": took,
        }),
    );
    let frames = if prepared.frames == 1 {
        "frame"
    } else {
        "frames"
    };
    ui.say(&format!(
        "wrote {shown}: {} {frames} from {:.2} to {:.2} s, in {took:.1} s; prepare.png shows what was found",
        prepared.frames, prepared.from_s, prepared.to_s
    ));
}
