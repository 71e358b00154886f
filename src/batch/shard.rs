//! The share of one run, if several runs on one or more machines split the jobs without communicating.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;

use crate::error::Fault;

/// Part `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    index: usize,
    count: usize,
}

/// Looks up an environment variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Shard {
    fn new(index: usize, count: usize) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// The shard that a Slurm array job or a Kubernetes indexed job assigns to this run, and the variable that says so; none
    /// outside such jobs.
    pub(crate) fn of_array_job() -> Result<Option<(Self, &'static str)>> {
        Self::in_environment(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn in_environment(environment: Environment<'_>) -> Result<Option<(Self, &'static str)>> {
        const SLURM: &str = "SLURM_ARRAY_TASK_ID";
        const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
        if environment(SLURM).is_some() {
            // The ids of an array are MIN, MIN + STEP, ..
            let id = number(environment, SLURM)?;
            let or = |name, default| match environment(name) {
                Some(_) => number(environment, name),
                None => Ok(default),
            };
            let first = or("SLURM_ARRAY_TASK_MIN", 0)?;
            let step = or("SLURM_ARRAY_TASK_STEP", 1)?.max(1);
            let count = number(environment, "SLURM_ARRAY_TASK_COUNT")?;
            let shard = id
                .checked_sub(first)
                .and_then(|id| Self::new(id / step, count));
            return Ok(Some((
                shard.ok_or_else(|| outside(SLURM, id, count))?,
                SLURM,
            )));
        }
        if environment(KUBERNETES).is_some() {
            let index = number(environment, KUBERNETES)?;
            let count = number(environment, "JOB_COMPLETION_COUNT")?;
            let shard = Self::new(index, count);
            return Ok(Some((
                shard.ok_or_else(|| outside(KUBERNETES, index, count))?,
                KUBERNETES,
            )));
        }
        Ok(None)
    }

    /// The indices of this shard's jobs, ascending; `frames` has the frames of each job.
    ///
    /// The longest job goes first, each to the shard with the fewest frames so far: no shard exceeds the lightest one by more
    /// than one job. The result depends only on the order and the frames of the jobs, so every run computes the same split.
    pub(crate) fn choose(self, frames: &[u64]) -> Vec<usize> {
        let mut longest_first: Vec<usize> = (0..frames.len()).collect();
        longest_first.sort_by_key(|&job| Reverse(frames[job]));
        // A shard without jobs comes before all others, so there are no jobs for more shards than jobs.
        let shards = self.count.min(frames.len());
        let mut loads: BinaryHeap<Reverse<(u64, usize)>> =
            (0..shards).map(|shard| Reverse((0, shard))).collect();
        let mut mine = Vec::new();
        for job in longest_first {
            let Some(Reverse((load, shard))) = loads.pop() else {
                break;
            };
            if shard == self.index {
                mine.push(job);
            }
            // One extra frame for the fixed cost of a clip; it also spreads clips that cannot be read.
            loads.push(Reverse((load + frames[job] + 1, shard)));
        }
        mine.sort_unstable();
        mine
    }
}

/// `K-of-N`, as in the file names of a shard.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Self::new(index.trim().parse().ok()?, count.trim().parse().ok()?)
        });
        numbers.ok_or_else(|| "expected K/N with K from 0 to N - 1, such as 0/4".into())
    }
}

fn number(environment: Environment<'_>, name: &str) -> Result<usize> {
    let value = environment(name);
    let number = value.as_deref().and_then(|value| value.parse().ok());
    Ok(number.ok_or_else(|| {
        let found = match &value {
            Some(value) => format!("is `{value}`"),
            None => "is not set".into(),
        };
        Fault::usage(format!(
            "this is an array job, but the variable {name} {found}"
        ))
        .hint("set it, or choose the share with --shard K/N; --shard 0/1 renders everything")
    })?)
}

fn outside(name: &str, index: usize, count: usize) -> Fault {
    Fault::usage(format!(
        "{name} is {index}, but there are only {count} shards"
    ))
    .hint("choose the share with --shard K/N; --shard 0/1 renders everything")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(frames: &[u64], count: usize) -> Vec<Vec<usize>> {
        let shards = (0..count).filter_map(|index| Shard::new(index, count));
        shards.map(|shard| shard.choose(frames)).collect()
    }

    fn load(frames: &[u64], jobs: &[usize]) -> u64 {
        jobs.iter().map(|&job| frames[job] + 1).sum()
    }

    proptest! {
        #[test]
        fn every_job_is_in_one_shard_and_shards_take_about_equally_long(
            frames in proptest::collection::vec(0_u64..5000, 0..200),
            count in 1_usize..20,
        ) {
            let shards = split(&frames, count);
            let mut all: Vec<usize> = shards.iter().flatten().copied().collect();
            prop_assert!(shards.iter().all(|jobs| jobs.is_sorted()));
            all.sort_unstable();
            prop_assert_eq!(all, (0..frames.len()).collect::<Vec<_>>());
            let loads = shards.iter().map(|jobs| load(&frames, jobs));
            let longest = frames.iter().max().map_or(0, |frames| frames + 1);
            let (most, least) = (loads.clone().max().unwrap_or(0), loads.min().unwrap_or(0));
            prop_assert!(most - least <= longest, "{most} and {least}");
            // The same again: nothing else decides.
            prop_assert_eq!(split(&frames, count), shards);
        }
    }

    /// The split takes no memory for shards without jobs.
    #[test]
    fn more_shards_than_jobs_leave_some_without() {
        let count = usize::MAX;
        let jobs_of = |index| Shard { index, count }.choose(&[5, 9, 0]);
        assert_eq!([0, 1, 2].map(jobs_of), [[1], [0], [2]]);
        assert!(jobs_of(3).is_empty() && jobs_of(count - 1).is_empty());
    }

    #[test]
    fn array_jobs_determine_the_shard() {
        let found = |pairs: &'static [(&str, &str)]| {
            Shard::in_environment(&|name| {
                let pair = pairs.iter().find(|(known, _)| *known == name);
                pair.map(|(_, value)| (*value).to_owned())
            })
            .map(|found| found.map(|(shard, _)| shard.to_string()))
        };
        assert_eq!(found(&[]).unwrap(), None);
        let slurm = &[
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "5"),
        ];
        assert_eq!(found(slurm).unwrap().unwrap(), "3-of-5");
        let plain = &[
            ("SLURM_ARRAY_TASK_ID", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(found(plain).unwrap().unwrap(), "2-of-3");
        let kubernetes = &[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETION_COUNT", "2")];
        assert_eq!(found(kubernetes).unwrap().unwrap(), "0-of-2");
        for wrong in [
            &[("JOB_COMPLETION_INDEX", "0")][..],
            &[("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETION_COUNT", "2")],
            &[
                ("SLURM_ARRAY_TASK_ID", "x"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
            ],
            &[
                ("SLURM_ARRAY_TASK_ID", "3"),
                ("SLURM_ARRAY_TASK_COUNT", "3"),
            ],
        ] {
            let faults = found(wrong).is_err();
            assert!(faults, "{wrong:?}");
        }
    }

    #[test]
    fn shards_are_written_as_two_numbers() {
        assert_eq!("0/4".parse(), Ok(Shard { index: 0, count: 4 }));
        for wrong in ["", "4", "4/4", "0/0", "-1/2", "a/b", "0/4/1"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
