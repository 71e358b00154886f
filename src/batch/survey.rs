//! Inspects every job before the first one is rendered: errors show up at once, and the amount of work is known.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;

use super::job::Job;
use crate::cancel::Cancel;
use crate::error::{Fault, no_thread};

/// Runs `inspect` on each job, on this many threads. The results are in the order of the jobs.
pub(crate) fn survey<T: Send>(
    jobs: &[Job],
    threads: usize,
    cancel: &Cancel,
    inspect: impl Fn(&Job) -> T + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut found = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(n).filter(|_| cancel.check().is_ok()) else {
                break found;
            };
            found.push((n, inspect(job)));
        }
    };
    // Not on rayon's threads: opening a background uses them, and they must not wait for each other.
    let mut found = thread::scope(|scope| {
        let start = |n| {
            let thread = thread::Builder::new().name(format!("survey {n}"));
            thread
                .spawn_scoped(scope, worker)
                .map_err(|e| no_thread(&e))
        };
        let threads: Vec<_> = (0..threads.max(1)).map(start).collect::<Result<_, _>>()?;
        let results = threads.into_iter().map(|thread| {
            let panicked = |_| Fault::failed("a thread that inspects jobs panicked");
            thread.join().map_err(panicked)
        });
        results.collect::<Result<Vec<_>, Fault>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    cancel.check()?;
    found.sort_by_key(|(n, _)| *n);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}
