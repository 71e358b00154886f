//! What work costs: time, and the time of all cores together.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// What some work took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// From its start to its end.
    pub(super) wall: Duration,
    /// Of all this process's threads on all cores.
    pub(super) cpu: Duration,
}

impl Cost {
    /// Does the work, and tells what it took beside what it gave.
    pub(super) fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let (started, cpu) = (Instant::now(), cpu_time());
        let given = work()?;
        let cost = Self {
            wall: started.elapsed(),
            cpu: cpu_time().saturating_sub(cpu),
        };
        Ok((cost, given))
    }
}

/// Several runs of the same work: the first, which found nothing ready, and the later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs {
    /// The first run.
    pub(super) cold: Cost,
    /// The others, in order.
    pub(super) warm: Vec<Cost>,
}

impl Runs {
    /// After the first run.
    pub(super) fn new(cold: Cost) -> Self {
        Self {
            cold,
            warm: Vec::new(),
        }
    }

    /// The median of the later runs' time, and, for itself, of their cores' time.
    pub(super) fn median(&self) -> Cost {
        Cost {
            wall: median(self.warm.iter().map(|cost| cost.wall)).unwrap_or(self.cold.wall),
            cpu: median(self.warm.iter().map(|cost| cost.cpu)).unwrap_or(self.cold.cpu),
        }
    }

    /// The shortest and the longest of the later runs.
    pub(super) fn spread(&self) -> (Duration, Duration) {
        let walls = self.warm.iter().map(|cost| cost.wall);
        let least = walls.clone().min().unwrap_or(self.cold.wall);
        (least, walls.max().unwrap_or(self.cold.wall))
    }
}

/// The middle one; of an even number, halfway between the two.
fn median(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let middle = times.len() / 2;
    let upper = *times.get(middle)?;
    Some(if times.len().is_multiple_of(2) {
        (times[middle - 1] + upper) / 2
    } else {
        upper
    })
}

/// The machine's time so far, as far as others than this process had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Others {
    /// Seconds of all cores together, idle ones included.
    all: f64,
    /// Seconds that any other program worked.
    busy: f64,
}

impl Others {
    /// None where the system does not tell it.
    pub(super) fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?, cpu_time())
    }

    /// From the first line of `/proc/stat` (proc(5): user, nice, system, idle, iowait, irq, softirq, steal, in hundredths of
    /// a second), where this process worked for `own`.
    fn of(stat: &str, own: Duration) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times = line.split_whitespace().take(8);
        let times: Vec<f64> = times.filter_map(|n| n.parse().ok()).collect();
        let all = times.iter().sum::<f64>() / 100.0;
        let idle = (times.get(3)? + times.get(4)?) / 100.0;
        Some(Self {
            all,
            busy: all - idle - own.as_secs_f64(),
        })
    }

    /// The share of all cores' time since `earlier` that others took, 0..=1.
    pub(super) fn share_since(self, earlier: Self) -> f64 {
        let share = (self.busy - earlier.busy) / (self.all - earlier.all).max(1e-9);
        share.clamp(0.0, 1.0)
    }
}

/// What all of this process's threads have worked so far, ended ones included.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(millis: &[u64]) -> Runs {
        let cost = |ms: &u64| Cost {
            wall: Duration::from_millis(*ms),
            cpu: Duration::from_millis(2 * ms),
        };
        Runs {
            cold: cost(&1000),
            warm: millis.iter().map(cost).collect(),
        }
    }

    #[test]
    fn the_first_run_is_not_in_the_median_unless_it_is_the_only_one() {
        let millis = |ms| Duration::from_millis(ms);
        assert_eq!(runs(&[5, 1, 3]).median().wall, millis(3));
        assert_eq!(runs(&[5, 1, 3]).median().cpu, millis(6));
        assert_eq!(runs(&[4, 1, 2, 9]).median().wall, millis(3));
        assert_eq!(runs(&[5, 1, 3]).spread(), (millis(1), millis(5)));
        assert_eq!(runs(&[]).median().wall, millis(1000));
    }

    #[test]
    fn what_others_took_is_neither_idle_nor_ones_own() {
        let at = |text: &str, own| Others::of(text, Duration::from_secs(own)).unwrap();
        // 20 s later: 10 idle, 2 waiting for the disk, 8 at work, of them 3 this process's.
        let earlier = at("cpu  1000 0 500 7000 100 0 0 0 0 0\ncpu0 1 2", 2);
        let later = at("cpu  1500 0 700 8000 300 0 50 50 9 9\n", 5);
        assert!((later.share_since(earlier) - 0.25).abs() < 1e-9);
        assert_eq!(Others::of("intr 5", Duration::ZERO), None);
    }

    #[test]
    fn the_time_of_all_threads_counts() {
        let work = || {
            let mut sum = 0_u64;
            let until = Instant::now() + Duration::from_millis(40);
            while Instant::now() < until {
                sum = std::hint::black_box(sum + 1);
            }
        };
        let (cost, ()) = Cost::of(|| {
            std::thread::spawn(work).join().unwrap();
            Ok(())
        })
        .unwrap();
        assert!(cost.cpu > Duration::from_millis(1), "{cost:?}");
        assert!(cost.wall >= Duration::from_millis(40), "{cost:?}");
    }
}
