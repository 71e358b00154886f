//! A video as background: its pictures, forward and backward.

use std::path::Path;

use anyhow::Result;

use super::sequence::{ROUNDING_SECONDS, Sequence};
use crate::background::video::{VideoFile, VideoReader};
use crate::error::Fault;
use crate::image::Picture;
use crate::timeline::FrameRate;

/// A video whose pictures were listed.
#[derive(Debug)]
pub(super) struct Footage {
    pub(super) file: VideoFile,
    pub(super) sequence: Sequence,
}

impl Footage {
    /// Lists the pictures of `path` and samples them at `fps`.
    pub(super) fn open(path: &Path, fps: FrameRate) -> Result<Self> {
        let file = VideoFile::open(path)?;
        let timeline = file.timeline()?;
        let lasts = timeline.lasts(0.0);
        let sequence = Sequence::sample(timeline, fps).ok_or_else(|| {
            unusable(&file)
                .because(format!(
                    "by the times of its pictures it lasts {lasts:.0} s"
                ))
                .hint("its times are damaged or it is too long; export it again")
        })?;
        Ok(Self { file, sequence })
    }
}

/// Decodes [`Footage`] forward and backward.
pub(super) struct FootageReader<'a> {
    footage: &'a Footage,
    reader: VideoReader,
    /// Number of the video's picture that was decoded last.
    pub(super) at: Option<usize>,
}

impl<'a> FootageReader<'a> {
    pub(super) fn new(footage: &'a Footage) -> Result<Self> {
        Ok(Self {
            footage,
            reader: footage.file.frames()?,
            at: None,
        })
    }

    /// Decodes the picture at `place` into `into`.
    pub(super) fn read(&mut self, place: usize, into: &mut Picture) -> Result<()> {
        let sequence = &self.footage.sequence;
        let number = sequence.shown[place];
        if sequence.is_far(number, self.at) {
            self.go_to(number)?;
        }
        while self.at != Some(number) {
            self.step()?;
        }
        self.reader.picture(into)
    }

    /// Goes to a picture at or before `number`, as near as the file can be searched.
    fn go_to(&mut self, number: usize) -> Result<()> {
        let sequence = &self.footage.sequence;
        for key in sequence.starts(number) {
            self.reader.seek(sequence.seconds(key).unwrap_or(0.0))?;
            // Pictures that lean on what lies before the key picture may come first, broken.
            self.at = loop {
                let at = self.reader.skip()?.and_then(|t| sequence.number_at(t));
                if at.is_none_or(|at| at >= key) {
                    break at;
                }
            };
            if self.at.is_some_and(|at| at <= number) {
                return Ok(());
            }
        }
        // The start is found for certain by opening the file again.
        *self = Self::new(self.footage)?;
        Ok(())
    }

    /// Decodes one picture, and checks that it is the one that was listed.
    fn step(&mut self) -> Result<()> {
        let number = self.at.map_or(0, |at| at + 1);
        let listed = self.footage.sequence.seconds(number);
        let time = self.reader.skip()?;
        // Where a picture is missing, the next one stands in its place, too late.
        let as_listed = time
            .zip(listed)
            .is_some_and(|(time, listed)| time < listed + ROUNDING_SECONDS / 2.0);
        if !as_listed {
            return Err(unusable(&self.footage.file)
                .because(format!(
                    "picture {number} of those that it lists is missing"
                ))
                .hint("it changed while it was in use, or it is damaged; export it again")
                .into());
        }
        self.at = Some(number);
        Ok(())
    }
}

fn unusable(file: &VideoFile) -> Fault {
    Fault::failed(format!(
        "cannot use video `{}` as background",
        file.path().display()
    ))
}
