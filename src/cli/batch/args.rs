//! The options of `lipsync batch`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::batch::shard::Shard;
use crate::cli::render::ClipArgs;

/// Render many clips into one folder
///
/// Networks are loaded once for all clips. A clip that fails does not stop the others: failures are listed at the end, and
/// the exit code is 3. docs/batch.md describes jobs files, --resume and --shard.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(after_help = "\
Examples:
  lipsync batch talks -o clips                      talks/day1/a.wav -> clips/day1/a.mp4
  lipsync batch talks -o clips --resume             only clips that are unfinished or changed
  lipsync batch jobs.yaml -o clips --report run.json
  lipsync batch *.mp3 -o clips --background frames/anna --model models/anna
  lipsync batch talks -o clips --shard 0/4          the first of four machines
  lipsync batch talks -o clips --dry-run > jobs.jsonl      check everything, write a complete jobs file")]
pub(in crate::cli) struct BatchArgs {
    /// Audio files, folders of audio files, or jobs files (.yaml, .json, .jsonl); - for stdin
    ///
    /// Folders are searched recursively. A .jsonl file holds one job per line; `-` reads such lines from stdin.
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub(super) inputs: Vec<PathBuf>,
    /// Output folder; each clip gets the relative path of its audio file
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) output: PathBuf,
    /// Skip clips that are finished and unchanged
    ///
    /// Interrupted clips start over. Clips whose audio, model, background or settings changed are rendered again.
    #[arg(long)]
    pub(super) resume: bool,
    /// Clips to render side by side [default: 2]
    ///
    /// With 2, the networks stay busy while a clip ends and the next one starts.
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Render only the K-th of N shards of about equal length, counted from 0
    ///
    /// In a Slurm array job or an indexed Kubernetes job, K and N are taken from the environment by default.
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
    /// Check everything and print the jobs as JSON lines, but write nothing
    ///
    /// Audio, backgrounds and settings of all jobs are checked; networks are not loaded. The output is a complete jobs file.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write a JSON report of the run and each clip, also if it fails
    ///
    /// docs/batch-report.schema.json describes it. An earlier report is replaced. FILE may be a pipe, a device or - for stdout.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}
