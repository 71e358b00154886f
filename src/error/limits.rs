//! Limits on the resources of a process: recognised in errors, and named with their number and the way out.

use std::fs;
use std::path::Path;
use std::thread;

use rustix::process::{Resource, getrlimit};

/// A limit that explains an error.
pub(super) struct ReachedLimit {
    pub(super) cause: String,
    pub(super) hint: &'static str,
}

/// How errors begin if a thread cannot be started.
pub(super) const NO_THREAD: &str = "cannot start a thread";
/// Threads that an encoder may want, and bytes.
const TRIAL_THREADS: usize = 8;
const TRIAL_BYTES: usize = 64 << 20;

/// The limits that may be behind an error with these texts; none if no limit is set, or the texts speak of something else.
pub(super) fn behind(texts: &[String]) -> Option<ReachedLimit> {
    let texts = texts.join("\n").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| texts.contains(word));
    let memory = [
        "cannot allocate memory",
        "out of memory",
        "bad_alloc",
        "failed to allocate",
        "failed to map segment",
    ];
    let thread = [
        NO_THREAD,
        "failed to spawn thread",
        "thread constructor failed",
    ];
    let (limits, hint) = if says(&["too many open files"]) {
        (vec![open_files()], "raise it with `ulimit -n 1024`")
    } else if says(&["file too large"]) {
        (vec![file_size()], "raise it with `ulimit -f unlimited`")
    } else if says(&thread) {
        (
            vec![address_space(), threads_of_group(), threads_of_user()],
            "raise the limit, or use less with `--threads 1`",
        )
    } else if says(&memory) && !says(&["cuda"]) {
        (
            vec![address_space()],
            "raise it with `ulimit -v unlimited`, or use less with `--threads 1`",
        )
    } else {
        return None;
    };
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    (!limits.is_empty()).then(|| ReachedLimit {
        cause: format!("the limit is {}", limits.join(", and ")),
        hint,
    })
}

/// What this process can get no more of, for libraries that do not say why they fail.
pub(super) fn exhausted() -> Option<&'static str> {
    let all_started = thread::scope(|scope| {
        let started: Vec<_> = (0..TRIAL_THREADS)
            .map(|_| thread::Builder::new().spawn_scoped(scope, thread::park))
            .collect();
        let threads = started.iter().flatten();
        threads.for_each(|thread| thread.thread().unpark());
        started.iter().all(Result::is_ok)
    });
    if !all_started {
        return Some(NO_THREAD);
    }
    let has_memory = Vec::<u8>::new().try_reserve_exact(TRIAL_BYTES).is_ok();
    (!has_memory).then_some("cannot allocate memory")
}

fn open_files() -> Option<String> {
    let count = getrlimit(Resource::Nofile).current?;
    Some(format!("{count} open files (`ulimit -n`)"))
}

fn file_size() -> Option<String> {
    let bytes = getrlimit(Resource::Fsize).current?;
    Some(format!("{bytes} bytes per file (`ulimit -f`)"))
}

fn address_space() -> Option<String> {
    let bytes = getrlimit(Resource::As).current?;
    let megabytes = bytes / 1_000_000;
    Some(format!("{megabytes} MB of address space (`ulimit -v`)"))
}

fn threads_of_user() -> Option<String> {
    let count = getrlimit(Resource::Nproc).current?;
    Some(format!("{count} threads of this user (`ulimit -u`)"))
}

/// Of the control group of a service or a container.
fn threads_of_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let places = [root.join(group), root.to_owned()];
    let text = places
        .iter()
        .find_map(|place| fs::read_to_string(place.join("pids.max")).ok())?;
    let count: u64 = text.trim().parse().ok()?;
    Some(format!(
        "{count} threads of this container or service (`pids.max`)"
    ))
}
