//! What work costs: wall time and CPU time, over several runs.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// The cost of some work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// Wall time.
    pub(super) wall: Duration,
    /// CPU time of all threads of this process.
    pub(super) cpu: Duration,
}

impl Cost {
    /// Does the work; returns its cost and its result.
    pub(super) fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let (started, cpu) = (Instant::now(), cpu_time());
        let result = work()?;
        let cost = Self {
            wall: started.elapsed(),
            cpu: cpu_time().saturating_sub(cpu),
        };
        Ok((cost, result))
    }
}

/// Several runs of the same work: a cold one, then warm ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs {
    /// The first run, which finds no cache filled.
    pub(super) cold: Cost,
    /// The later runs, in order.
    pub(super) warm: Vec<Cost>,
}

impl Runs {
    /// Begins with the first run.
    pub(super) fn new(cold: Cost) -> Self {
        Self {
            cold,
            warm: Vec::new(),
        }
    }

    /// The median wall time of the warm runs, and, on its own, their median CPU time.
    pub(super) fn median(&self) -> Cost {
        Cost {
            wall: median(self.warm.iter().map(|cost| cost.wall)).unwrap_or(self.cold.wall),
            cpu: median(self.warm.iter().map(|cost| cost.cpu)).unwrap_or(self.cold.cpu),
        }
    }

    /// The shortest and the longest wall time of the warm runs.
    pub(super) fn spread(&self) -> (Duration, Duration) {
        let walls = self.warm.iter().map(|cost| cost.wall);
        let least = walls.clone().min().unwrap_or(self.cold.wall);
        (least, walls.max().unwrap_or(self.cold.wall))
    }
}

/// The median; of an even number, halfway between the middle two.
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

/// CPU time of all threads of this process so far, including those that have ended.
pub(super) fn cpu_time() -> Duration {
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
    fn the_cold_run_is_not_in_the_median_unless_it_is_the_only_one() {
        let millis = |ms| Duration::from_millis(ms);
        assert_eq!(runs(&[5, 1, 3]).median().wall, millis(3));
        assert_eq!(runs(&[5, 1, 3]).median().cpu, millis(6));
        assert_eq!(runs(&[4, 1, 2, 9]).median().wall, millis(3));
        assert_eq!(runs(&[5, 1, 3]).spread(), (millis(1), millis(5)));
        assert_eq!(runs(&[]).median().wall, millis(1000));
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
