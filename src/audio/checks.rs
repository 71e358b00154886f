//! What every audio file is checked for before it is read, and how errors about it begin.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;

use crate::error::{Fault, plain_io};

/// The beginning of each message about a sound.
pub(super) fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read audio `{}`", path.display()))
}

pub(super) fn became_shorter(path: &Path) -> Fault {
    unreadable(path)
        .because("it became shorter while it was read")
        .hint("wait until the file is complete, then render again")
}

/// Opens a file that has something in it.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let io = |e| unreadable(path).because(plain_io(&e));
    // Asked before it is opened: to open a pipe is to wait for somebody who writes into it.
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(unreadable(path)
            .because("it is a folder, not a sound file")
            .into());
    }
    if !metadata.is_file() {
        return Err(unreadable(path)
            .because("it is a pipe or a device; a sound is read more than once")
            .hint("write the sound to a file first")
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

/// Fails for rates and channels that the clip cannot carry.
pub(super) fn check_kind(path: &Path, rate: u32, channels: u16) -> Result<()> {
    if (4_000..=384_000).contains(&rate) && (1..=8).contains(&channels) {
        return Ok(());
    }
    Err(unreadable(path)
        .because(format!(
            "its header says {rate} Hz and {channels} channels; 4000 to 384000 Hz and 1 to 8 channels can be read"
        ))
        .into())
}

/// The path as a shell reads it back.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
