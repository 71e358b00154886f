//! How busy other programs keep the machine: their CPU time slows every measurement.

use std::time::Duration;

use super::measure::cpu_time;

/// CPU time of the machine since it started, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SystemLoad {
    /// Seconds of all cores together, idle or not.
    total: f64,
    /// Seconds that other programs used.
    others: f64,
}

impl SystemLoad {
    /// Now; None where the system does not say.
    pub(super) fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?, cpu_time())
    }

    /// From the first line of `/proc/stat` (proc(5): user, nice, system, idle, iowait, irq, softirq, steal, in hundredths of
    /// a second), where this process used `own`.
    fn of(stat: &str, own: Duration) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times = line.split_whitespace().take(8);
        let times: Vec<f64> = times.filter_map(|n| n.parse().ok()).collect();
        let total = times.iter().sum::<f64>() / 100.0;
        let idle = (times.get(3)? + times.get(4)?) / 100.0;
        Some(Self {
            total,
            others: total - idle - own.as_secs_f64(),
        })
    }

    /// The share of CPU time since `earlier` that other programs used, 0..=1.
    pub(super) fn others_since(self, earlier: Self) -> f64 {
        let share = (self.others - earlier.others) / (self.total - earlier.total).max(1e-9);
        share.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_other_programs_is_neither_idle_nor_this_process() {
        let at = |text: &str, own| SystemLoad::of(text, Duration::from_secs(own)).unwrap();
        // 20 s later: 10 idle, 2 waiting for the disk, 8 busy, 3 of them with this process.
        let earlier = at("cpu  1000 0 500 7000 100 0 0 0 0 0\ncpu0 1 2", 2);
        let later = at("cpu  1500 0 700 8000 300 0 50 50 9 9\n", 5);
        assert!((later.others_since(earlier) - 0.25).abs() < 1e-9);
        assert_eq!(SystemLoad::of("intr 5", Duration::ZERO), None);
    }
}
