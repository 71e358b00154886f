//! A temporary folder for the clips of a measurement.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use crate::error::{Fault, plain_io};

/// A folder for this run's clips, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Creates it in the system's folder for temporary files.
    pub(crate) fn new() -> Result<Self> {
        let folder = std::env::temp_dir();
        // A random name: process IDs repeat between containers that share the folder.
        let scratch = tempfile::Builder::new()
            .prefix("lipsync-bench-")
            .tempdir_in(&folder);
        Ok(Self(scratch.map_err(|e| {
            Fault::machine(format!("cannot create a folder in `{}`", folder.display()))
                .because(plain_io(&e.kind().into()))
                .hint("set TMPDIR to a writable folder")
        })?))
    }

    /// The path of the clip called `name`.
    pub(crate) fn clip(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
