//! A video as background: its frames at the clip's frame rate, decoded forward and backward.

use std::path::Path;

use anyhow::Result;

use super::sampling::{FrameSampling, ROUNDING_SECONDS};
use crate::background::video::{VideoFile, VideoReader};
use crate::error::Fault;
use crate::image::{Picture, Size};
use crate::timeline::FrameRate;

/// A video, and which of its frames are used.
#[derive(Debug)]
pub(super) struct SampledVideo {
    pub(super) file: VideoFile,
    pub(super) sampling: FrameSampling,
    /// Size of an upright frame before its pixels became square: crop rectangles are in pixels of this frame.
    pub(super) stored_size: Size,
    /// What is done to the frames, in words.
    pub(super) told: Vec<String>,
}

impl SampledVideo {
    /// Lists the frames of `path` and samples them at `fps`.
    pub(super) fn open(path: &Path, fps: FrameRate) -> Result<Self> {
        let mut file = VideoFile::open(path)?;
        let frame_table = file.frame_table()?;
        let interlaced = frame_table.interlaced || file.starts_interlaced()?;
        let stored_size = file.size;
        let mut told = file.prepare(interlaced);
        told.extend(file.other_streams());
        told.extend(file.missing_end(frame_table.duration(0.0)));
        let duration = frame_table.duration(0.0);
        let sampling = FrameSampling::sample(frame_table, fps).ok_or_else(|| {
            unusable(&file)
                .because(format!("by its timestamps it lasts {duration:.0} s"))
                .hint("its timestamps are damaged or it is too long; export it again")
        })?;
        Ok(Self {
            file,
            sampling,
            stored_size,
            told,
        })
    }
}

/// Decodes the frames of a [`SampledVideo`] in any order.
pub(super) struct SampledVideoReader<'a> {
    video: &'a SampledVideo,
    reader: VideoReader,
    /// Number of the video frame that was decoded last.
    pub(super) position: Option<usize>,
}

impl<'a> SampledVideoReader<'a> {
    pub(super) fn new(video: &'a SampledVideo) -> Result<Self> {
        Ok(Self {
            video,
            reader: video.file.frames()?,
            position: None,
        })
    }

    /// Decodes the frame with index `source` among those that are used.
    pub(super) fn read(&mut self, source: usize, frame: &mut Picture) -> Result<()> {
        let sampling = &self.video.sampling;
        let number = sampling.used[source];
        if sampling.needs_seek(number, self.position) {
            // A frame that is deinterlaced depends on the one before.
            let neighbours = usize::from(self.video.file.is_deinterlaced());
            self.seek_to(number.saturating_sub(neighbours))?;
        }
        while self.position != Some(number) {
            self.decode_next()?;
        }
        self.reader.picture(frame)
    }

    /// Seeks to a frame at or before `number`, as close as the file allows.
    fn seek_to(&mut self, number: usize) -> Result<()> {
        let sampling = &self.video.sampling;
        for key_frame in sampling.seek_points(number) {
            self.reader
                .seek(sampling.seconds(key_frame).unwrap_or(0.0))?;
            // Frames that depend on others before the key frame may come first, damaged.
            self.position = loop {
                let position = self.reader.skip()?.and_then(|t| sampling.number_at(t));
                if position.is_none_or(|position| position >= key_frame) {
                    break position;
                }
            };
            if self.position.is_some_and(|position| position <= number) {
                return Ok(());
            }
        }
        // Opening the file again always leads to its start.
        *self = Self::new(self.video)?;
        Ok(())
    }

    /// Decodes one frame, and checks that it is the expected one.
    fn decode_next(&mut self) -> Result<()> {
        let number = self.position.map_or(0, |position| position + 1);
        let listed = self.video.sampling.seconds(number);
        let time = self.reader.skip()?;
        // If a frame is missing, the next one comes in its place, with a later timestamp.
        let as_listed = time
            .zip(listed)
            .is_some_and(|(time, listed)| time < listed + ROUNDING_SECONDS / 2.0);
        if !as_listed {
            return Err(unusable(&self.video.file)
                .because(format!("frame {number} is missing"))
                .hint("it is damaged, or it changed while it was in use; export it again")
                .into());
        }
        self.position = Some(number);
        Ok(())
    }
}

/// Starts an error about a background video.
pub(super) fn unusable(file: &VideoFile) -> Fault {
    Fault::failed(format!(
        "cannot use video `{}` as background",
        file.path().display()
    ))
}
