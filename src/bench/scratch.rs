//! A temporary folder for the clips of a measurement.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::error::{Fault, plain_io};

/// A folder for this process's clips, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates it in the system's folder for temporary files.
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("lipsync-bench-{}", std::process::id()));
        // A killed process with the same ID may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(|e| {
            Fault::machine(format!("cannot create the folder `{}`", path.display()))
                .because(plain_io(&e))
                .hint("set TMPDIR to a writable folder")
        })?;
        Ok(Self(path))
    }

    /// The path of the clip called `name`.
    pub(crate) fn clip(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}
