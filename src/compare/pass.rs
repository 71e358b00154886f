//! A pass over all frames: decoded here, measured on all cores, put in order again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use anyhow::Result;

use super::measure::{Score, score};
use super::side::{Colours, Frames, Seen, Shot, Side};
use super::{FrameFigures, Overall, PlaneFigures, decibels, digits};
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::image::Size;
use crate::sync::{Look, Motion, View, rounded};

/// A pass over all frames of both sides.
pub(super) struct Run {
    pub(super) figures: Vec<FrameFigures>,
    /// Pairs that were measured.
    added: usize,
    /// Sums over all frames: mean squared error, and of each plane its letter, error and SSIM.
    mse: f64,
    planes: Vec<(char, f64, f64)>,
    /// What was seen of each side's beginning, and when.
    pub(super) looks: [Vec<(f64, Look)>; 2],
    /// Frames of each side.
    pub(super) counts: [usize; 2],
    pub(super) depth: u32,
}

/// Two frames with one number.
struct Pair<'a> {
    index: usize,
    seconds: [Option<f64>; 2],
    shots: [Shot<'a>; 2],
}

/// What was found in a pair.
struct Judged {
    index: usize,
    seconds: [Option<f64>; 2],
    /// The score and the depth of its samples; none for frames of different sizes.
    score: Option<(Score, u32)>,
    looks: [Option<Look>; 2],
}

impl Run {
    pub(super) fn over(
        sides: &[Side; 2],
        colours: Colours,
        views: &[Option<View>; 2],
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let [mut expected, mut actual] =
            [sides[0].frames_in(colours)?, sides[1].frames_in(colours)?];
        let comparable = sides[0].size == sides[1].size;
        let of_pictures = [sides[0].size, sides[1].size];
        let mut run = Self {
            figures: Vec::new(),
            added: 0,
            mse: 0.0,
            planes: Vec::new(),
            looks: [Vec::new(), Vec::new()],
            counts: [0, 0],
            depth: 8,
        };
        // Twice as many as there are threads: none waits for the next one to be decoded.
        let most = 2 * rayon::current_num_threads();
        let (done, finished) = mpsc::channel();
        // Those that were finished before an earlier one.
        let mut early = BTreeMap::new();
        rayon::in_place_scope(|scope| {
            let mut started = 0;
            let mut taken = 0;
            loop {
                cancel.check()?;
                let pair = next_pair(&mut expected, &mut actual, started, &mut run.counts)?;
                let is_end = pair.is_none();
                if let Some(pair) = pair {
                    let done = done.clone();
                    scope.spawn(move |_| {
                        let index = pair.index;
                        // A panic must not leave the other side waiting for this frame.
                        let judged = catch_unwind(AssertUnwindSafe(|| {
                            judge(pair, comparable, views, of_pictures)
                        }));
                        let judged = judged.unwrap_or_else(|_| {
                            let what = format!("the comparison of frame {index} panicked");
                            let hint = "this is a bug in lipsync; please report it";
                            Err(Fault::failed(what).hint(hint).into())
                        });
                        // Nobody waits for it any more once another frame has failed.
                        let _ = done.send(judged);
                    });
                    started += 1;
                }
                while taken < started && (is_end || started - taken >= most) {
                    cancel.check()?;
                    let Ok(judged) = finished.recv() else {
                        return Ok(());
                    };
                    let judged: Judged = judged?;
                    taken += 1;
                    early.insert(judged.index, judged);
                    while let Some(judged) = early.remove(&run.added) {
                        run.add(judged);
                    }
                    progress(run.added as u64);
                }
                if is_end {
                    return anyhow::Ok(());
                }
            }
        })?;
        Ok(run)
    }

    fn add(&mut self, judged: Judged) {
        self.added += 1;
        let [expected, actual] = judged.seconds;
        for ((looks, look), seconds) in self.looks.iter_mut().zip(judged.looks).zip(judged.seconds)
        {
            looks.extend(seconds.zip(look));
        }
        let Some((score, depth)) = judged.score else {
            return;
        };
        self.depth = depth;
        self.mse += score.mse;
        self.planes
            .resize(score.planes.len().max(self.planes.len()), (' ', 0.0, 0.0));
        for (sum, plane) in self.planes.iter_mut().zip(&score.planes) {
            *sum = (plane.0, sum.1 + plane.1, sum.2 + plane.2);
        }
        self.figures.push(FrameFigures {
            frame: judged.index,
            seconds: expected.or(actual).map(rounded),
            psnr_db: decibels(score.mse, depth),
            ssim: digits(score.ssim),
            max_abs: score.max_abs,
            at: score.at,
            passes: true,
        });
    }

    /// Without the count of those that failed.
    pub(super) fn overall(&self) -> Option<Overall> {
        let count = self.figures.len() as f64;
        let lowest = |of: fn(&FrameFigures) -> f64| {
            self.figures.iter().map(of).fold(f64::INFINITY, f64::min)
        };
        let lowest_psnr = lowest(FrameFigures::psnr);
        (count > 0.0).then(|| Overall {
            psnr_db: decibels(self.mse / count, self.depth),
            lowest_psnr_db: lowest_psnr.is_finite().then_some(lowest_psnr),
            ssim: digits(self.figures.iter().map(|f| f.ssim).sum::<f64>() / count),
            lowest_ssim: lowest(|f| f.ssim),
            max_abs: self.figures.iter().map(|f| f.max_abs).max().unwrap_or(0),
            equal: self.figures.iter().filter(|f| f.max_abs == 0).count(),
            failed: 0,
            planes: self
                .planes
                .iter()
                .map(|(plane, mse, ssim)| PlaneFigures {
                    plane: *plane,
                    psnr_db: decibels(mse / count, self.depth),
                    ssim: digits(ssim / count),
                })
                .collect(),
        })
    }
}

/// The next pair; at the end of either side, the rest of the other one is counted.
fn next_pair<'a>(
    expected: &mut Frames<'a>,
    actual: &mut Frames<'a>,
    index: usize,
    counts: &mut [usize; 2],
) -> Result<Option<Pair<'a>>> {
    let rest = |frames: &mut Frames<'a>| -> Result<usize> {
        let mut count = 0;
        while frames.skip()? {
            count += 1;
        }
        Ok(count)
    };
    let (first, second) = (expected.next()?, actual.next()?);
    counts[0] += usize::from(first.is_some());
    counts[1] += usize::from(second.is_some());
    match (first, second) {
        (Some((expected_at, expected)), Some((actual_at, actual))) => Ok(Some(Pair {
            index,
            seconds: [expected_at, actual_at],
            shots: [expected, actual],
        })),
        (first, second) => {
            if first.is_some() {
                counts[0] += rest(expected)?;
            }
            if second.is_some() {
                counts[1] += rest(actual)?;
            }
            Ok(None)
        }
    }
}

/// Measures a pair, and looks at its mouths.
fn judge(
    pair: Pair<'_>,
    comparable: bool,
    views: &[Option<View>; 2],
    sizes: [Size; 2],
) -> Result<Judged> {
    let Pair {
        index,
        seconds,
        shots: [expected, actual],
    } = pair;
    let (expected, actual) = (expected.develop()?, actual.develop()?);
    let look = |seen: &Seen, side: usize| {
        let view = views[side].as_ref().filter(|_| index < Motion::KEPT)?;
        Some(view.look(index, &seen.luma(), sizes[side]))
    };
    let looks = [look(&expected, 0), look(&actual, 1)];
    let score = comparable.then(|| {
        let alpha = expected.is_transparent() || actual.is_transparent();
        let (expected, actual) = (expected.planes(alpha), actual.planes(alpha));
        (score(&expected, &actual), expected.depth)
    });
    Ok(Judged {
        index,
        seconds,
        score,
        looks,
    })
}
