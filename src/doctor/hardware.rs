//! Cores, memory and disk space.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use super::{Finding, State};

/// Less than this is a warning: a 720p render takes about this much memory, and a long clip this much disk.
const LOW_BYTES: u64 = 1 << 30;

/// All checks of the hardware.
pub(super) fn examine() -> Vec<Finding> {
    vec![
        cores(),
        memory_finding(Memory::read(Path::new("/"))),
        disk("disk, current folder", Path::new(".")),
        disk("disk, temporary folder", &std::env::temp_dir()),
    ]
}

fn cores() -> Finding {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // ARM machines have no model name here.
    let model = field(&text, "model name").unwrap_or(std::env::consts::ARCH);
    Finding::ok("cores", format!("{cores} of {model}"))
}

fn memory_finding(memory: Option<Memory>) -> Finding {
    let Some(memory) = memory else {
        return Finding::new(
            State::Warning,
            "memory",
            "unknown: /proc/meminfo does not say",
        );
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

/// Memory of the machine, or of the control group that limits it; bytes.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    available: u64,
    /// Whether a control group limits it.
    limited: bool,
}

impl Memory {
    /// Reads it from the files below `root`.
    fn read(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let bytes = |name: &str| -> Option<u64> {
            let kib: u64 = field(&text, name)?.strip_suffix(" kB")?.parse().ok()?;
            Some(kib * 1024)
        };
        let mut memory = Self {
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
}

/// Limit and use of the process's control group and its ancestors, in both versions of control groups.
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
        // In a container, the path may be the host's; then only the root group has files here.
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

/// The value of the line `name : value`.
pub(super) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of a machine with 8 GiB, 6 of them free, and these files of control groups.
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
        Memory::read(dir.path())
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
        assert_eq!(Memory::read(Path::new("/nowhere")), None);
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
