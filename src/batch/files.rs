//! The files of a run: no job may write what another one reads or writes.

use std::path::Path;

use super::job::Job;
use super::journal::PREFIX;
use crate::output::{OutputKind, RunFiles, Target};

/// Everything that `jobs` read and write, as far as they say so, with outputs in the folder `output`.
pub(crate) fn of(jobs: &[Job], output: &Path) -> RunFiles {
    let own = [("the journal", "jsonl"), ("the lock", "lock")];
    let files = own.iter().fold(RunFiles::default(), |files, (role, name)| {
        let path = output.join(format!("{PREFIX}{name}"));
        let (kind, force) = (OutputKind::File, true);
        files.output(
            format!("{role} of the output folder"),
            &Target { path, kind, force },
        )
    });
    jobs.iter().fold(files, |files, job| {
        files.and(
            job.request_in(output).files(),
            &format!(" of {}", job.source),
        )
    })
}
