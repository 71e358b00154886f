//! One pass over the frames of both inputs: decoded on this thread, measured on all others, collected in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use anyhow::Result;

use super::frames::{ComparedPlanes, Frame, FrameReader, PendingFrame};
use super::input::Input;
use super::measure::{PictureDifference, PlaneDifference, measure};
use super::metrics::{FrameFigures, OverallFigures, PlaneFigures, rounded_psnr, rounded_ssim};
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::image::Size;
use crate::sync::{Look, Motion, View, rounded};

/// What one pass over all frames has found.
pub(super) struct FramePass {
    pub(super) figures: Vec<FrameFigures>,
    /// Pairs that were measured and added.
    pairs: usize,
    /// Sums over all frames: mean squared error, and the same and SSIM of each plane.
    mse: f64,
    planes: Vec<PlaneDifference>,
    /// Timestamps in seconds and shrunken pictures of each input's first frames, for the lag between mouth and audio.
    pub(super) sync_frames: [Vec<(f64, Look)>; 2],
    /// Frames of each input.
    pub(super) counts: [usize; 2],
    /// Bits per sample.
    pub(super) depth: u32,
}

/// The expected and the actual frame with the same number.
struct FramePair<'a> {
    index: usize,
    /// Timestamps; none in folders.
    seconds: [Option<f64>; 2],
    frames: [PendingFrame<'a>; 2],
}

/// What was measured in a pair.
struct PairResult {
    index: usize,
    seconds: [Option<f64>; 2],
    /// The difference, and the depth of the samples in bits; none if the sizes differ.
    difference: Option<(PictureDifference, u32)>,
    sync_frames: [Option<Look>; 2],
}

impl FramePass {
    /// Reads and measures all frames. `views` says where to look for the mouths; `progress` is called with the number of
    /// measured pairs.
    pub(super) fn over(
        inputs: &[Input; 2],
        planes: ComparedPlanes,
        views: &[Option<View>; 2],
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let mut readers = [
            inputs[0].read_frames(planes)?,
            inputs[1].read_frames(planes)?,
        ];
        let sizes = [inputs[0].size, inputs[1].size];
        let mut pass = Self {
            figures: Vec::new(),
            pairs: 0,
            mse: 0.0,
            planes: Vec::new(),
            sync_frames: [Vec::new(), Vec::new()],
            counts: [0, 0],
            depth: 8,
        };
        // Twice as many as there are threads: none waits for the next pair to be decoded.
        let max_in_flight = 2 * rayon::current_num_threads();
        let (sender, results) = mpsc::channel();
        // Results that arrived before an earlier one.
        let mut early = BTreeMap::new();
        rayon::in_place_scope(|scope| {
            let mut started = 0;
            let mut received = 0;
            loop {
                cancel.check()?;
                let pair = next_pair(&mut readers, started, &mut pass.counts)?;
                let is_end = pair.is_none();
                if let Some(pair) = pair {
                    let sender = sender.clone();
                    scope.spawn(move |_| {
                        // Nobody receives it once another pair has failed.
                        let _ = sender.send(measure_or_report_panic(pair, views, sizes));
                    });
                    started += 1;
                }
                while received < started && (is_end || started - received >= max_in_flight) {
                    cancel.check()?;
                    let Ok(result) = results.recv() else {
                        return Ok(());
                    };
                    let result: PairResult = result?;
                    received += 1;
                    early.insert(result.index, result);
                    while let Some(result) = early.remove(&pass.pairs) {
                        pass.add(result);
                    }
                    progress(pass.pairs as u64);
                }
                if is_end {
                    return anyhow::Ok(());
                }
            }
        })?;
        Ok(pass)
    }

    fn add(&mut self, result: PairResult) {
        self.pairs += 1;
        let [expected, actual] = result.seconds;
        let new = result.sync_frames.into_iter().zip(result.seconds);
        for (frames, (frame, seconds)) in self.sync_frames.iter_mut().zip(new) {
            frames.extend(seconds.zip(frame));
        }
        let Some((difference, depth)) = result.difference else {
            return;
        };
        self.depth = depth;
        self.mse += difference.mse;
        let count = difference.planes.len().max(self.planes.len());
        self.planes.resize_with(count, PlaneDifference::default);
        for (sum, plane) in self.planes.iter_mut().zip(&difference.planes) {
            sum.letter = plane.letter;
            sum.mse += plane.mse;
            sum.ssim += plane.ssim;
        }
        self.figures.push(FrameFigures {
            frame: result.index,
            seconds: expected.or(actual).map(rounded),
            psnr_db: rounded_psnr(difference.mse, depth),
            ssim: rounded_ssim(difference.ssim),
            max_abs: difference.max_abs,
            at: difference.at,
            passes: true,
        });
    }

    /// The figures of all frames, without the number of those that fail; none if no frames were compared.
    pub(super) fn overall(&self) -> Option<OverallFigures> {
        let count = self.figures.len() as f64;
        let lowest = |of: fn(&FrameFigures) -> f64| {
            self.figures.iter().map(of).fold(f64::INFINITY, f64::min)
        };
        let lowest_psnr = lowest(FrameFigures::psnr);
        let planes = self.planes.iter().map(|plane| PlaneFigures {
            plane: plane.letter,
            psnr_db: rounded_psnr(plane.mse / count, self.depth),
            ssim: rounded_ssim(plane.ssim / count),
        });
        (count > 0.0).then(|| OverallFigures {
            psnr_db: rounded_psnr(self.mse / count, self.depth),
            lowest_psnr_db: lowest_psnr.is_finite().then_some(lowest_psnr),
            ssim: rounded_ssim(self.figures.iter().map(|f| f.ssim).sum::<f64>() / count),
            lowest_ssim: lowest(|f| f.ssim),
            max_abs: self.figures.iter().map(|f| f.max_abs).max().unwrap_or(0),
            equal: self.figures.iter().filter(|f| f.max_abs == 0).count(),
            failed: 0,
            planes: planes.collect(),
        })
    }
}

/// The next pair; at the end of either input, counts the remaining frames of the other.
fn next_pair<'a>(
    readers: &mut [FrameReader<'a>; 2],
    index: usize,
    counts: &mut [usize; 2],
) -> Result<Option<FramePair<'a>>> {
    let [expected, actual] = readers;
    let next = [expected.next()?, actual.next()?];
    for (count, frame) in counts.iter_mut().zip(&next) {
        *count += usize::from(frame.is_some());
    }
    match next {
        [Some((expected_at, expected)), Some((actual_at, actual))] => Ok(Some(FramePair {
            index,
            seconds: [expected_at, actual_at],
            frames: [expected, actual],
        })),
        next => {
            for ((reader, count), frame) in readers.iter_mut().zip(counts).zip(next) {
                while frame.is_some() && reader.skip()? {
                    *count += 1;
                }
            }
            Ok(None)
        }
    }
}

/// Measures a pair. A panic becomes an error, so that the receiver does not wait for this pair forever.
fn measure_or_report_panic(
    pair: FramePair<'_>,
    views: &[Option<View>; 2],
    sizes: [Size; 2],
) -> Result<PairResult> {
    let index = pair.index;
    let result = catch_unwind(AssertUnwindSafe(|| measure_pair(pair, views, sizes)));
    result.unwrap_or_else(|_| {
        let what = format!("the comparison of frame {index} panicked");
        let hint = "this is a bug in lipsync; please report it";
        Err(Fault::failed(what).hint(hint).into())
    })
}

/// Measures how much a pair differs, and shrinks its first frames for the lag between mouth and audio.
fn measure_pair(
    pair: FramePair<'_>,
    views: &[Option<View>; 2],
    sizes: [Size; 2],
) -> Result<PairResult> {
    let FramePair {
        index,
        seconds,
        frames: [expected, actual],
    } = pair;
    let (expected, actual) = (expected.decode()?, actual.decode()?);
    let sync_frame = |frame: &Frame, input: usize| {
        let view = views[input].as_ref().filter(|_| index < Motion::KEPT)?;
        Some(view.look(index, &frame.luma(), sizes[input]))
    };
    let sync_frames = [sync_frame(&expected, 0), sync_frame(&actual, 1)];
    let difference = (sizes[0] == sizes[1]).then(|| {
        let alpha = expected.is_transparent() || actual.is_transparent();
        let (expected, actual) = (expected.planes(alpha), actual.planes(alpha));
        (measure(&expected, &actual), expected.depth)
    });
    Ok(PairResult {
        index,
        seconds,
        difference,
        sync_frames,
    })
}
