//! How a stage runs: its thread, its time, and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use crate::error::{ErrorReport, Exit, Fault, no_thread};

/// Why a stage ended early. If several stages fail, [`root_cause`] chooses the error to return.
pub(super) enum StageError {
    /// A neighbour closed the queue; its own error says why.
    Closed,
    /// The stage itself failed, or was cancelled.
    Cause(Error),
}

impl<E: Into<Error>> From<E> for StageError {
    fn from(error: E) -> Self {
        Self::Cause(error.into())
    }
}

pub(super) type StageResult = Result<(), StageError>;

/// How a stage spent its time.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    /// Name of the stage.
    pub name: &'static str,
    /// How many threads run it; the times are their sums.
    pub workers: usize,
    /// Time spent working.
    pub busy: Duration,
    /// Time spent waiting for neighbours.
    pub wait: Duration,
    /// How much of `wait` was for space in the queue to the next stage; the rest was for input.
    pub blocked: Duration,
    /// Frames that it handled; frames at rest skip some stages.
    pub frames: u64,
}

/// Measures a stage, which sends and receives through it.
pub(super) struct StageTimer {
    name: &'static str,
    started: Instant,
    wait: Duration,
    blocked: Duration,
    pub(super) frames: u64,
}

impl StageTimer {
    fn start(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
            wait: Duration::ZERO,
            blocked: Duration::ZERO,
            frames: 0,
        }
    }

    pub(super) fn send<T>(&mut self, queue: &SyncSender<T>, item: T) -> StageResult {
        let since = Instant::now();
        let sent = queue.send(item).map_err(|_| StageError::Closed);
        let took = since.elapsed();
        self.wait += took;
        self.blocked += took;
        sent
    }

    pub(super) fn receive<T>(&mut self, queue: &Receiver<T>) -> Result<T, StageError> {
        let since = Instant::now();
        let item = queue.recv().map_err(|_| StageError::Closed);
        self.wait += since.elapsed();
        item
    }

    fn stop(self) -> StageTime {
        StageTime {
            name: self.name,
            workers: 1,
            busy: self.started.elapsed().saturating_sub(self.wait),
            wait: self.wait,
            blocked: self.blocked,
            frames: self.frames,
        }
    }
}

/// Starts a stage on a thread of its name.
pub(super) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    stage: impl FnOnce(&mut StageTimer) -> StageResult + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<StageTime, StageError>>, Fault> {
    thread::Builder::new()
        .name(name.into())
        .spawn_scoped(scope, move || guarded(name, stage))
        .map_err(|e| no_thread(&e))
}

/// Runs a stage. A panic becomes an error that names the stage.
pub(super) fn guarded(
    name: &'static str,
    stage: impl FnOnce(&mut StageTimer) -> StageResult,
) -> Result<StageTime, StageError> {
    let mut timer = StageTimer::start(name);
    let end = catch_unwind(AssertUnwindSafe(|| stage(&mut timer))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::failed(format!("the {name} stage panicked"))
            .because(text.unwrap_or_else(|| "no message".into()))
            .hint("this is a bug in lipsync; please report it with this message")
            .into())
    });
    end.map(|()| timer.stop())
}

/// The times of all stages, or the error that caused the others: a real error before an interruption, before a closed queue.
pub(super) fn root_cause(
    ends: impl Iterator<Item = Result<StageTime, StageError>>,
) -> Result<Vec<StageTime>> {
    let weight = |error: &StageError| match error {
        StageError::Closed => 0,
        StageError::Cause(error) if ErrorReport::of(error).exit == Exit::Interrupted => 1,
        StageError::Cause(_) => 2,
    };
    let mut times: Vec<StageTime> = Vec::new();
    let mut heaviest: Option<StageError> = None;
    for end in ends {
        match end {
            Ok(time) => add(&mut times, time),
            Err(error) => {
                if heaviest
                    .as_ref()
                    .is_none_or(|heaviest| weight(&error) > weight(heaviest))
                {
                    heaviest = Some(error);
                }
            }
        }
    }
    match heaviest {
        None => Ok(times),
        Some(StageError::Cause(error)) => Err(error),
        Some(StageError::Closed) => Err(Fault::failed("a stage ended without saying why").into()),
    }
}

/// Adds `time` to the entry of its stage.
fn add(times: &mut Vec<StageTime>, time: StageTime) {
    match times.iter_mut().find(|sum| sum.name == time.name) {
        Some(sum) => {
            sum.workers += time.workers;
            sum.busy += time.busy;
            sum.wait += time.wait;
            sum.blocked += time.blocked;
            sum.frames += time.frames;
        }
        None => times.push(time),
    }
}
