//! `lipsync join`: parts of a clip -> the clip.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueHint};
use serde_json::json;

use super::ui::Ui;
use crate::audio::{AudioFile, AudioSource, ReadOptions, Truncated};
use crate::cancel::Cancel;
use crate::encode::container::Container;
use crate::encode::join::{self, JoinSpec, PartFile, Parts};
use crate::encode::part_tag::PartTag;
use crate::error::Fault;
use crate::output::fingerprint::Fingerprint;
use crate::output::{RunFiles, Target};

/// Join parts of a clip that were rendered separately
///
/// The video is copied without encoding it again. The audio comes from the file that the parts were rendered from, and is
/// written as in a clip that is rendered at once. If all parts were rendered with --deterministic, so is the joined clip:
/// byte-identical to one rendered at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  for k in 0 1 2 3; do lipsync render talk.wav --part $k/4; done
  lipsync join talk.part*-of-4.mp4 -o talk.mp4
  lipsync join parts/*.mp4 -o talk.mkv --audio talk.wav")]
pub(super) struct JoinArgs {
    /// All parts of one clip, in any order
    #[arg(required = true, value_name = "PART", value_hint = ValueHint::FilePath)]
    parts: Vec<PathBuf>,
    /// Clip to write: .mp4, .mov, .mkv or .webm, or - for stdout (fragmented MP4)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Audio file that the parts were rendered from [default: its path at the time]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    audio: Option<PathBuf>,
    /// Replace an existing output
    #[arg(short, long)]
    force: bool,
}

/// Checks the parts, joins them, and prints a summary.
pub(super) fn join(args: &JoinArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let started = Instant::now();
    let (target, container) = target(args)?;
    let parts = args.parts.iter().map(|path| PartFile::open(path));
    let parts = Parts::sorted(parts.collect::<Result<_>>()?)?;
    parts.fit_into(container)?;
    let audio = audio(parts.tag(), args.audio.as_deref())?;
    RunFiles::default()
        .output("the output", &target)
        .input("the audio file", audio.path())
        .check()?;
    let (count, frames) = (parts.count(), parts.tag().clip_frames);
    let output = target.path.display().to_string();
    ui.event(
        "start",
        json!({
            "input": audio.path().display().to_string(),
            "output": output,
            "frames": frames,
            "fps": parts.tag().fps.as_f64(),
            "parts": count,
        }),
    );
    let shown = target.to_string();
    let spec = JoinSpec {
        target,
        container,
        sound: &audio,
        #[cfg(feature = "credentials")]
        signer: None,
    };
    let mut progress = ui.progress(frames);
    join::join(parts, spec, cancel, |done| progress.update(done))?;
    drop(progress);
    let (took, lasts) = (started.elapsed().as_secs_f64(), audio.seconds());
    ui.event(
        "success",
        json!({
            "output": output,
            "frames": frames,
            "seconds": lasts,
            "wall_s": took,
            "fps": frames as f64 / took,
        }),
    );
    let parts = if count == 1 { "part" } else { "parts" };
    ui.say(&format!(
        "wrote {shown}: {count} {parts}, {frames} frames, {lasts:.2} s, in {took:.1} s"
    ));
    Ok(())
}

/// Where the clip goes.
fn target(args: &JoinArgs) -> Result<(Target, Container)> {
    let container = Container::named_by(&args.output)?;
    let target = Target {
        path: args.output.clone(),
        kind: container.kind(),
        force: args.force,
    };
    RunFiles::default()
        .output("the output", &target)
        .inputs("the part", args.parts.iter().map(PathBuf::as_path))
        .inputs("the audio file", args.audio.as_deref())
        .check()?;
    target.check()?;
    Ok((target, container))
}

/// The audio of the whole clip, which must be the file that the parts were rendered from.
fn audio(tag: &PartTag, requested: Option<&Path>) -> Result<AudioFile> {
    let path = requested.unwrap_or(Path::new(&tag.sound.path));
    let hint = "name the audio file that the parts were rendered from with --audio";
    if !path.exists() {
        return Err(
            Fault::failed(format!("there is no audio file `{}`", path.display()))
                .because(
                    "a joined clip takes its audio from the file that its parts were rendered from",
                )
                .hint(hint)
                .into(),
        );
    }
    if Fingerprint::of_file(path)?.to_string() != tag.sound.content {
        return Err(Fault::failed(format!(
            "`{}` is not the audio that the parts were rendered from",
            path.display()
        ))
        .hint(hint)
        .into());
    }
    // The parts have accepted it as it is.
    let options = ReadOptions {
        limit: tag.sound.limit,
        track: tag.sound.track,
        cut_off: Truncated::Allowed,
    };
    AudioFile::read(&AudioSource::file(path), options)
}
