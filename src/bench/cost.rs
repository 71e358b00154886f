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
