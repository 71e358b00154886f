//! Decodes frames of the footage, and follows the face through them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::Result;

use super::frames::{Frames, ScannedFrame};
use super::thumbnail::Thumbnail;
use crate::background::Footage;
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::face::{FaceMeasures, FaceNetworks, Landmarks, Tracker};
use crate::image::pool::Pooled;
use crate::image::{Picture, Pool};

/// Frames that are decoded ahead.
const QUEUE: usize = 4;

/// A frame and its face, as the tracker has them.
pub(super) struct TrackedPicture {
    pub(super) index: usize,
    pub(super) picture: Pooled<Picture>,
    pub(super) landmarks: Option<Landmarks>,
    pub(super) scanned: ScannedFrame,
}

/// A decoded frame; `is_new` is false if it repeats the one before.
struct Decoded {
    index: usize,
    picture: Pooled<Picture>,
    is_new: bool,
}

/// Decodes `frames` of the footage on a thread of its own, follows the face, and calls `each` with the frames in order.
pub(super) fn track<N: FaceNetworks>(
    footage: &Footage,
    frames: Frames,
    tracker: &mut Tracker<N>,
    cancel: &Cancel,
    mut each: impl FnMut(TrackedPicture) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let (sender, queue) = sync_channel(QUEUE);
        let decoder = thread::Builder::new()
            .name("decode".into())
            .spawn_scoped(scope, move || decode(footage, frames, &sender, cancel))?;
        let followed = follow(&queue, tracker, &mut each);
        drop(queue);
        // If decoding failed, tracking merely ran out of frames.
        let panicked = |_| Err(Fault::failed("the decoder's thread panicked").into());
        decoder.join().unwrap_or_else(panicked)?;
        followed
    })
}

fn decode(
    footage: &Footage,
    frames: Frames,
    sender: &SyncSender<Decoded>,
    cancel: &Cancel,
) -> Result<()> {
    let pool = Pool::<Picture>::default();
    let mut reader = footage.reader()?;
    let mut latest = Picture::default();
    for index in frames {
        cancel.check()?;
        let is_new = reader.read(index, &mut latest)?;
        latest.flatten();
        let mut picture = pool.take();
        picture.copy_from(&latest);
        let decoded = Decoded {
            index,
            picture,
            is_new,
        };
        if sender.send(decoded).is_err() {
            break;
        }
    }
    Ok(())
}

fn follow<N: FaceNetworks>(
    decoded: &Receiver<Decoded>,
    tracker: &mut Tracker<N>,
    each: &mut impl FnMut(TrackedPicture) -> Result<()>,
) -> Result<()> {
    let mut shot = Shot::default();
    let (mut landmarks, mut scanned) = (None, ScannedFrame::default());
    for Decoded {
        index,
        picture,
        is_new,
    } in decoded
    {
        scanned.is_cut = is_new && shot.ends_before(&picture);
        if scanned.is_cut {
            tracker.forget();
        }
        if is_new {
            let found = tracker.next(&picture)?;
            scanned.face = found.face.as_ref().map(FaceMeasures::of);
            scanned.sharpness = found.sharpness;
            scanned.faces = found.detections.map_or(scanned.faces, |faces| faces.len());
            landmarks = found.face;
        }
        each(TrackedPicture {
            index,
            picture,
            landmarks: landmarks.clone(),
            scanned,
        })?;
    }
    Ok(())
}

/// Finds cuts: pictures that differ from the one before much more than neighbours in this shot do.
#[derive(Default)]
struct Shot {
    previous: Option<Thumbnail>,
    /// Usual difference between neighbours, in levels of 255.
    usual: f32,
}

impl Shot {
    /// Difference that is always a cut ..
    const ABRUPT: f32 = 28.0;
    /// .. and the smallest that may be one, if it is as many times the usual difference.
    const POSSIBLE: f32 = 9.0;
    const RATIO: f32 = 6.0;

    fn ends_before(&mut self, picture: &Picture) -> bool {
        let thumbnail = Thumbnail::of(picture);
        let change = self.previous.as_ref().map(|p| p.difference(&thumbnail));
        self.previous = Some(thumbnail);
        let Some(change) = change else {
            return false;
        };
        let limit = Self::POSSIBLE.max(Self::RATIO * self.usual);
        if change > limit.min(Self::ABRUPT) {
            self.usual = 0.0;
            return true;
        }
        self.usual += (change - self.usual) / 12.0;
        false
    }
}
