//! Cores, memory and disk space.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use super::{Finding, State};

/// Less is worth a warning: a render of 720p takes about as much memory, a long clip as much disk.
const LOW_BYTES: u64 = 1 << 30;

pub(super) fn examine() -> Vec<Finding> {
    vec![
        cores(),
        memory_finding(memory(Path::new("/"))),
        disk("disk, current folder", Path::new(".")),
        disk("disk, temporary folder", &std::env::temp_dir()),
    ]
}

fn cores() -> Finding {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // ARM machines do not name their model here.
    let model = field(&text, "model name").unwrap_or(std::env::consts::ARCH);
    Finding::ok("cores", format!("{cores} of {model}"))
}

fn memory_finding(memory: Option<Memory>) -> Finding {
    let Some(memory) = memory else {
        return Finding::new(State::Warning, "memory", "/proc/meminfo does not tell it");
    };
    let detail = format!(
        "{} free of {}{}",
        gib(memory.available),
        gib(memory.total),
        if memory.limited {
            ", limited by the control group"
        } else {
            ""
        }
    );
    if memory.available < LOW_BYTES {
        return Finding::new(State::Warning, "memory", detail)
            .remedy("close other programs, or render with --batch 1");
    }
    Finding::ok("memory", detail)
}

fn disk(name: &str, folder: &Path) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(e) => {
            let detail = format!("`{}`: {e}", folder.display());
            return Finding::new(State::Warning, name, detail);
        }
    };
    let detail = format!("{} free in `{}`", gib(free), folder.display());
    if free < LOW_BYTES {
        return Finding::new(State::Warning, name, detail)
            .remedy("free some space, or write elsewhere with -o");
    }
    Finding::ok(name, detail)
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// In bytes.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    available: u64,
    /// Whether a control group allows less than there is.
    limited: bool,
}

/// The memory of the machine whose files lie under `root`, or what the process's control group allows of it.
fn memory(root: &Path) -> Option<Memory> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let kib: u64 = field(&text, name)?.strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    };
    let mut memory = Memory {
        total: bytes("MemTotal")?,
        available: bytes("MemAvailable")?,
        limited: false,
    };
    for (limit, used) in group_limits(root) {
        if limit < memory.total {
            memory.total = limit;
            memory.limited = true;
        }
        memory.available = memory.available.min(limit.saturating_sub(used));
    }
    Some(memory)
}

/// Limit and use of the process's control group and of all above it, of both versions of control groups.
fn group_limits(root: &Path) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (folder, limit, used) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
            "memory" => (
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
            _ => continue,
        };
        // In a container the group's path may be that of the machine outside; then only the root's files are there.
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let group = root.join(folder).join(group);
            let number = |name| {
                fs::read_to_string(group.join(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            };
            if let (Some(limit), Some(used)) = (number(limit), number(used)) {
                limits.push((limit, used));
            }
        }
    }
    limits
}

/// The value of a line `name : value`.
pub(super) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with 8 GiB, of which 6 are free, and a control group's files.
    fn machine(cgroup: &str, files: &[(&str, &str)]) -> Option<Memory> {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree: 1 kB\nMemAvailable:    6291456 kB\n",
        );
        write("proc/self/cgroup", cgroup);
        for (path, text) in files {
            write(&format!("sys/fs/cgroup/{path}"), text);
        }
        memory(dir.path())
    }

    fn found(total: u64, available: u64, limited: bool) -> Memory {
        Memory {
            total: total << 30,
            available: available << 30,
            limited,
        }
    }

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(machine("", &[]), Some(found(8, 6, false)));
        let unlimited = [("memory.max", "max\n"), ("memory.current", "7\n")];
        assert_eq!(machine("0::/\n", &unlimited), Some(found(8, 6, false)));
        assert_eq!(memory(Path::new("/nowhere")), None);
    }

    #[test]
    fn control_groups_limit_it() {
        let (four, one) = ((4_u64 << 30).to_string(), (1_u64 << 30).to_string());
        let above = [
            ("jobs/memory.max", four.as_str()),
            ("jobs/memory.current", &one),
        ];
        assert_eq!(machine("0::/jobs/7\n", &above), Some(found(4, 3, true)));
        let first = [
            ("memory/memory.limit_in_bytes", four.as_str()),
            ("memory/memory.usage_in_bytes", &one),
        ];
        assert_eq!(
            machine("9:cpu:/\n4:memory:/outside/path\n", &first),
            Some(found(4, 3, true))
        );
    }

    #[test]
    fn little_space_is_a_warning() {
        let low = memory_finding(Some(found(8, 0, false)));
        assert_eq!(low.state, State::Warning);
        assert_eq!(memory_finding(Some(found(8, 6, false))).state, State::Ok);
        let nowhere = disk("disk", Path::new("/no/such/folder"));
        assert_eq!(nowhere.state, State::Warning);
    }
}
