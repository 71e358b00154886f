//! Every job looked at before the first one is rendered: what fails is known at once, and how much there is to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;

use super::job::Job;
use crate::cancel::Cancel;
use crate::error::Fault;

/// What `look` finds in each job, in the order of the jobs; `threads` jobs are looked at at a time.
pub(crate) fn survey<T: Send>(
    jobs: &[Job],
    threads: usize,
    cancel: &Cancel,
    look: impl Fn(&Job) -> T + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(n).filter(|_| cancel.check().is_ok()) else {
                break found;
            };
            found.push((n, look(job)));
        }
    };
    // Threads of their own: opening backgrounds is work for rayon's, which must not wait for each other.
    let mut found = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| {
            let panicked = |_| Fault::failed("a thread that looks at jobs panicked");
            thread.join().map_err(panicked)
        });
        ends.collect::<Result<Vec<_>, Fault>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    cancel.check()?;
    found.sort_by_key(|(n, _)| *n);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}
