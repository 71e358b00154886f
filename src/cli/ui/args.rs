//! The options of every command that control messages, and the log levels.

use clap::{Args, ValueEnum};

/// Options of every command.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct UiArgs {
    /// Print more: what was found and decided; twice for FFmpeg's warnings too
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Print only errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// How to show progress: auto, bar, plain, json or none
    ///
    /// `auto` draws a bar if stderr is a terminal and prints plain lines otherwise, one every 5 seconds. `json` prints one
    /// object per line (docs/progress.schema.json).
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        global = true,
        value_name = "HOW",
        env = "LIPSYNC_PROGRESS",
        hide_env = true,
        default_value = "auto"
    )]
    pub(super) progress: ProgressMode,
    /// When to colour messages: auto, always or never
    ///
    /// `auto` colours them if stderr is a terminal and NO_COLOR is not set.
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        global = true,
        value_name = "WHEN",
        env = "LIPSYNC_COLOR",
        hide_env = true,
        default_value = "auto"
    )]
    pub(super) color: ColorMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressMode {
    /// a bar on a terminal, plain lines elsewhere
    Auto,
    /// a progress bar
    Bar,
    /// a line every few seconds
    Plain,
    /// one JSON object per line, for scripts
    Json,
    /// no progress
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorMode {
    /// on a terminal, unless NO_COLOR is set
    Auto,
    /// always
    Always,
    /// never
    Never,
}

/// What is printed. Each level includes those above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Level {
    /// Errors.
    Error,
    /// Warnings.
    Warn,
    /// The device, progress and results.
    Info,
    /// What was found and decided.
    Debug,
    /// FFmpeg's own messages.
    Trace,
}

impl Level {
    /// The level that `log_level` in the configuration calls `name`; [`Level::Info`] if there is none.
    pub(in crate::cli) fn named(name: &str) -> Self {
        match name {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "debug" => Self::Debug,
            _ => Self::Info,
        }
    }
}

impl UiArgs {
    /// The level that `-v` and `-q` ask for, if any.
    pub(super) fn level(self) -> Option<Level> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(Level::Error),
            (false, 0) => None,
            (false, 1) => Some(Level::Debug),
            (false, _) => Some(Level::Trace),
        }
    }
}
