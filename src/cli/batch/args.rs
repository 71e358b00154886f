//! The flags of `lipsync batch`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::batch::shard::Shard;
use crate::cli::render::ClipArgs;

/// Render many clips into one folder, and go on where a run was stopped
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(
    after_help = "A clip that fails stops no other: they are listed at the end, and the exit code is 3.\n\
    docs/batch.md describes jobs files, --resume and --shard.\n\n\
    Examples:\n  \
    lipsync batch talks -o clips                      talks/day1/a.wav -> clips/day1/a.mp4\n  \
    lipsync batch talks -o clips --resume             what is not finished, or has changed since\n  \
    lipsync batch jobs.yaml -o clips --report run.json\n  \
    lipsync batch *.mp3 -o clips --background frames/anna --model models/anna\n  \
    lipsync batch talks -o clips --shard 0/4          the first of four machines\n  \
    lipsync batch jobs.yaml -o clips --dry-run        checks all, and writes a complete jobs file"
)]
pub(in crate::cli) struct BatchArgs {
    /// Folders of sounds (with the folders in them), sounds, or jobs files: .yaml, .json, or .jsonl (a job a line); - reads
    /// JSON lines from stdin
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub(super) inputs: Vec<PathBuf>,
    /// Folder for the clips: each gets the relative path of its sound
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) output: PathBuf,
    /// Skip clips that are finished and unchanged; render those again whose sound, model, background or settings changed
    #[arg(long)]
    pub(super) resume: bool,
    /// Clips to work on side by side [default: 2, so that the networks never wait for the end of a clip]
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Render only the K-th of N shares of about equal length, K from 0 [default: what an array job of Slurm or an indexed
    /// job of Kubernetes says, else all]
    #[arg(long, value_name = "K/N")]
    pub(super) shard: Option<Shard>,
    /// Stop at the first clip that fails
    #[arg(long)]
    pub(super) fail_fast: bool,
    #[command(flatten)]
    pub(super) settings: ClipArgs,
    /// Replace existing outputs
    #[arg(short, long)]
    pub(super) force: bool,
    /// Check all sounds, backgrounds and settings, and write the jobs to stdout as JSON lines; nothing is rendered, and no
    /// network started
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write a JSON report of the run and of each clip, on failure too (docs/batch-report.schema.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}
