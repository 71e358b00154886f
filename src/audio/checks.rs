//! What every audio file is checked for before it is read, and how errors about it begin.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;

use crate::error::{Fault, plain_io};

/// Starts an error about an audio file.
pub(super) fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read audio `{}`", path.display()))
}

pub(super) fn became_shorter(path: &Path) -> Fault {
    unreadable(path)
        .because("the file became shorter while it was being read")
        .hint("wait until the file is complete, then render again")
}

/// Opens a regular file that is not empty.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let io = |e| unreadable(path).because(plain_io(&e));
    // Checked before opening: opening a pipe blocks until something writes to it.
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(unreadable(path)
            .because("it is a folder, not an audio file")
            .into());
    }
    if !metadata.is_file() {
        return Err(unreadable(path)
            .because("it is a pipe or a device, and audio is read more than once")
            .hint("write the audio to a file first")
            .into());
    }
    let file = File::open(path).map_err(io)?;
    if metadata.len() == 0 {
        return Err(unreadable(path)
            .because("the file is empty (0 bytes)")
            .hint("record or export it again")
            .into());
    }
    Ok(file)
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
