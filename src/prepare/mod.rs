//! Footage of a person -> a background folder that `render` accepts: frames, crop rectangles, landmarks, audio.
//!
//! ```text
//! Footage --scan--> a few numbers per frame --problems--> what is unusable --select--> a stretch of frames
//!                                                                                          |
//! frames, crop_rects.json, landmarks.json, audio.wav, prepare.json, prepare.png <--write---+
//! ```
//!
//! Nothing grows with the footage but those few numbers: pictures and landmarks of the chosen frames are computed again
//! when they are written.
//!
//! | file | what it does |
//! | --- | --- |
//! | `track` | decodes frames and follows the face; finds cuts by `thumbnail` |
//! | `frames`, `prepared` | what is known about the frames, and what the user gets to know |
//! | `problems` | says why frames cannot be used, and when |
//! | `select` | picks the calmest stretch |
//! | `square` | places the crop squares |
//! | `write` | writes the folder; `landmarks_file` and `picture` write one file of it each |

mod frames;
mod landmarks_file;
mod picture;
mod prepared;
mod problems;
mod select;
mod square;
mod thumbnail;
mod track;
mod write;

use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;

use crate::background::Footage;
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::face::{FaceNetworks, Tracker};
use crate::image::Size;
use crate::output::Target;
use crate::timeline::FrameRate;
use frames::{Frames, Scan};
pub(crate) use prepared::Prepared;
use problems::{Problem, ProblemKind};
use track::TrackedPicture;

/// Shortest usable footage, in seconds. A photo needs no length.
const MIN_SECONDS: f64 = 2.0;

/// What to prepare, and how.
#[derive(Debug, Clone)]
pub(crate) struct PrepareOptions {
    /// A video, a picture, or a folder of numbered pictures.
    pub source: PathBuf,
    /// Frames per second of the result.
    pub fps: FrameRate,
    /// Length of the stretch that is written, in seconds.
    pub seconds: f64,
    /// Start of the footage to look at, in seconds.
    pub from: Option<f64>,
    /// End of the footage to look at, in seconds.
    pub to: Option<f64>,
    /// Which face, from 0, by size.
    pub face: usize,
    /// Write all frames, also those that cannot be used.
    pub every_frame: bool,
}

/// Looks at all frames, picks a stretch, and writes it to `target`. `progress` is called with frames done and in all.
pub(crate) fn prepare<N: FaceNetworks>(
    options: &PrepareOptions,
    networks: N,
    target: Target,
    cancel: &Cancel,
    mut progress: impl FnMut(u64, u64),
) -> Result<Prepared> {
    let footage = Footage::open(&options.source, options.fps)?;
    let range = requested(&footage, options)?;
    let mut tracker = Tracker::new(networks, options.face);
    let scan = scan(
        &footage,
        range,
        options,
        &mut tracker,
        cancel,
        &mut progress,
    )?;
    let kinds = problems::of_frames(&scan.frames, scan.size);
    let problems = problems::with_times(&scan, &kinds);
    let scan = choose(scan, &kinds, &problems, &footage, options)?;
    let prepared = Prepared {
        schema_version: 1,
        is_photo: footage.is_photo(),
        source: options.source.display().to_string(),
        fps: options.fps,
        width: scan.size.width,
        height: scan.size.height,
        scanned_frames: scan.frames.len(),
        usable_frames: scan.usable.iter().filter(|&&usable| usable).count(),
        frames: scan.chosen.len(),
        from_s: scan.seconds(scan.chosen.start),
        to_s: scan.seconds(scan.chosen.end),
        problems,
        scan,
    };
    tracker.forget();
    write::write(&prepared, &footage, &mut tracker, target, cancel)?;
    Ok(prepared)
}

/// The frames between `--from` and `--to`.
fn requested(footage: &Footage, options: &PrepareOptions) -> Result<Frames> {
    let count = footage.frame_count();
    let frame = |seconds: f64| (seconds * options.fps.as_f64()).round() as usize;
    let start = options.from.map_or(0, frame);
    let end = options.to.map_or(count, frame).min(count);
    if start < end {
        return Ok(start..end);
    }
    let lasts = count as f64 / options.fps.as_f64();
    Err(Fault::failed(format!(
        "there are no frames between --from and --to in `{}`",
        footage.path().display()
    ))
    .because(format!("it lasts {lasts:.2} s"))
    .hint("choose times within the footage, --from before --to")
    .into())
}

fn scan<N: FaceNetworks>(
    footage: &Footage,
    range: Frames,
    options: &PrepareOptions,
    tracker: &mut Tracker<N>,
    cancel: &Cancel,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Scan> {
    let (first, count) = (range.start, range.len());
    let mut frames = Vec::with_capacity(count);
    let mut size = None;
    track::track(footage, range, tracker, cancel, |tracked| {
        let of_frame = tracked.picture.size();
        if *size.get_or_insert(of_frame) != of_frame {
            return Err(different_size(footage, &tracked, options).into());
        }
        frames.push(tracked.scanned);
        progress(frames.len() as u64, count as u64);
        Ok(())
    })?;
    Ok(Scan {
        usable: Vec::new(),
        frames,
        first,
        chosen: 0..0,
        size: size.unwrap_or(Size {
            width: 0,
            height: 0,
        }),
        fps: options.fps,
    })
}

fn different_size(footage: &Footage, tracked: &TrackedPicture, options: &PrepareOptions) -> Fault {
    let seconds = tracked.index as f64 / options.fps.as_f64();
    Fault::failed(format!(
        "the frames of `{}` have different sizes",
        footage.path().display()
    ))
    .because(format!(
        "frame {} ({seconds:.2} s) is {}",
        tracked.index,
        tracked.picture.size()
    ))
    .hint("all frames must have the same size")
}

/// Decides which frames are written. Fails if too few can be used.
fn choose(
    mut scan: Scan,
    kinds: &[Vec<ProblemKind>],
    problems: &[Problem],
    footage: &Footage,
    options: &PrepareOptions,
) -> Result<Scan> {
    let is_usable = |kinds: &Vec<ProblemKind>| !kinds.iter().any(|kind| kind.excludes());
    scan.usable = kinds.iter().map(is_usable).collect();
    let fps = options.fps.as_f64();
    let wanted = ((options.seconds * fps).round() as usize).max(1);
    let longest = select::runs(&scan.usable).iter().map(Range::len).max();
    let longest = longest.unwrap_or(0);
    let needed = if footage.is_photo() || options.every_frame {
        1
    } else {
        (MIN_SECONDS * fps).ceil() as usize
    };
    if longest < needed {
        return Err(unusable(&scan, problems, longest, footage).into());
    }
    scan.chosen = if options.every_frame {
        0..scan.frames.len()
    } else {
        select::calmest(&scan.frames, &scan.usable, wanted).unwrap_or(0..0)
    };
    Ok(scan)
}

/// The error for footage of which too little can be used.
fn unusable(scan: &Scan, problems: &[Problem], longest: usize, footage: &Footage) -> Fault {
    /// Problems that are named.
    const NAMED: usize = 6;
    let path = footage.path().display();
    let excluding: Vec<Problem> = problems
        .iter()
        .filter(|problem| problem.kind.excludes())
        .copied()
        .collect();
    let mut named = problems::in_words(&excluding, footage.is_photo());
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    let without_face = scan.frames.iter().all(|frame| frame.face.is_none());
    let hint = if without_face {
        "use footage in which the face is at least 128 pixels wide, lit evenly, and looks towards the camera"
    } else {
        "film the person looking into the camera, the face at least 128 pixels wide and wholly in the picture, without cuts"
    };
    let fault = if without_face {
        Fault::failed(format!("no face found in `{path}`"))
    } else if footage.is_photo() {
        Fault::failed(format!("the face in `{path}` cannot be used"))
    } else {
        let usable = match longest as f64 / scan.fps.as_f64() {
            0.0 => "nothing".to_owned(),
            seconds => format!("only {seconds:.2} s"),
        };
        Fault::failed(format!(
            "{usable} of `{path}` can be used; at least {MIN_SECONDS} s are needed"
        ))
    };
    if named.is_empty() {
        let lasts = scan.frames.len() as f64 / scan.fps.as_f64();
        named.push(format!("it lasts {lasts:.2} s"));
    }
    fault.because(named.join("; ")).hint(hint)
}
