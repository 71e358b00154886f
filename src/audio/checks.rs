//! What every audio file is checked for before it is read, and how errors about it begin.

use std::path::Path;

use anyhow::Result;

use crate::error::Fault;

/// Starts an error about an audio file.
pub(super) fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read audio `{}`", path.display()))
}

pub(super) fn became_shorter(path: &Path) -> Fault {
    unreadable(path)
        .because("the file became shorter while it was being read")
        .hint("wait until the file is complete, then render again")
}

/// What to do with a file that ends before its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncated {
    /// Refuse it.
    #[default]
    Refused,
    /// Use what is there, and warn.
    Allowed,
}

/// How an audio file is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// Seconds after which it is cut off.
    pub limit: Option<f64>,
    /// Which of its audio tracks, from 0; the one that FFmpeg prefers if none.
    pub track: Option<usize>,
    /// What to do if it ends before its header says.
    pub cut_off: Truncated,
}

/// Fails because of `why`, or returns a warning.
pub(super) fn truncated(path: &Path, why: &str, cut_off: Truncated) -> Result<Option<String>> {
    match cut_off {
        Truncated::Allowed => Ok(Some(format!("`{}` is truncated: {why}", path.display()))),
        Truncated::Refused => Err(unreadable(path)
            .because(why.to_owned())
            .hint(
                "the file looks truncated; export or copy it again, or pass --allow-truncated to render what is there",
            )
            .into()),
    }
}

/// Fails for sample rates and channel counts that a clip cannot have.
pub(super) fn check_format(path: &Path, rate: u32, channels: u16) -> Result<()> {
    if (4_000..=384_000).contains(&rate) && (1..=8).contains(&channels) {
        return Ok(());
    }
    Err(unreadable(path)
        .because(format!(
            "its header says {rate} Hz and {}; supported are 4000 to 384000 Hz and 1 to 8 channels",
            channel_count(channels)
        ))
        .into())
}

/// `1 channel`, `2 channels`.
pub(super) fn channel_count(channels: u16) -> String {
    let plural = if channels == 1 { "" } else { "s" };
    format!("{channels} channel{plural}")
}

pub(super) use crate::error::quoted;
