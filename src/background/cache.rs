//! Decodes backgrounds on demand, and keeps as many as fit into the memory budget.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use super::backgrounds::{Backgrounds, Source};
use super::decoded::{Background, FrameFormats};
use super::sampled_video::{SampledVideo, SampledVideoReader};
use crate::image::Picture;
use crate::timeline::BackgroundIndex;

/// Decodes backgrounds, and keeps those that fit into its memory.
///
/// Files: the first ones are kept for good, and for all clips. Backgrounds are requested in a cycle, in which a cache
/// of the latest ones would never hit.
///
/// Videos can only be decoded forward, from a key frame on. Playing forward, the latest frames are kept; playing
/// backward, a run of frames is decoded at a time and handed out from its end.
pub struct BackgroundCache<'a> {
    backgrounds: &'a Backgrounds,
    formats: FrameFormats,
    /// Frames of a video by their source index.
    decoded: BTreeMap<usize, Arc<Background>>,
    /// Files of the latest request that are not in the cache.
    to_decode: Vec<usize>,
    /// Decoded files of the latest request.
    requested: Vec<Arc<Background>>,
    /// Memory for decoded backgrounds, in bytes.
    budget: usize,
    /// Most memory that one background takes, in bytes.
    frame_bytes: usize,
    reader: Option<SampledVideoReader<'a>>,
}

impl<'a> BackgroundCache<'a> {
    /// An empty cache of up to `budget` bytes; of a video, at least one frame is kept.
    pub fn new(backgrounds: &'a Backgrounds, budget: usize, formats: FrameFormats) -> Self {
        Self {
            backgrounds,
            formats,
            decoded: BTreeMap::new(),
            to_decode: Vec::new(),
            requested: Vec::new(),
            budget,
            frame_bytes: backgrounds.max_frame_bytes(formats),
            reader: None,
        }
    }

    /// Appends the backgrounds `indices`, in that order.
    pub fn get(
        &mut self,
        indices: &[BackgroundIndex],
        into: &mut Vec<Arc<Background>>,
    ) -> Result<()> {
        let backgrounds = self.backgrounds;
        match &backgrounds.source {
            Source::Files(paths) => self.get_files(paths, indices, into),
            Source::Video(video) => {
                for &index in indices {
                    into.push(self.get_video_frame(video, backgrounds.source_index(index))?);
                }
                Ok(())
            }
        }
    }

    /// Appends files; those that are not in the cache are decoded in parallel.
    fn get_files(
        &mut self,
        paths: &[PathBuf],
        indices: &[BackgroundIndex],
        into: &mut Vec<Arc<Background>>,
    ) -> Result<()> {
        self.to_decode.clear();
        self.requested.clear();
        {
            let decoded = self.backgrounds.decoded.lock();
            for index in indices {
                match decoded.frames.get(&(index.0, self.formats)) {
                    Some(picture) => self.requested.push(Arc::clone(picture)),
                    None => self.to_decode.push(index.0),
                }
            }
        }
        if !self.to_decode.is_empty() {
            self.decode(paths)?;
        }
        into.extend(indices.iter().filter_map(|index| {
            let mut requested = self.requested.iter();
            requested.find(|picture| picture.place == index.0).cloned()
        }));
        Ok(())
    }

    /// Decodes the files that are not in the cache, and keeps those that fit.
    fn decode(&mut self, paths: &[PathBuf]) -> Result<()> {
        self.to_decode.sort_unstable();
        self.to_decode.dedup();
        let (backgrounds, formats) = (self.backgrounds, self.formats);
        let decoded: Vec<Arc<Background>> = self
            .to_decode
            .par_iter()
            .map(|&source| load(backgrounds, source, &paths[source], formats).map(Arc::new))
            .collect::<Result<_>>()?;
        let mut stored = backgrounds.decoded.lock();
        for picture in decoded {
            let fits = stored.bytes + self.frame_bytes <= self.budget;
            let key = (picture.place, formats);
            if fits && stored.frames.insert(key, Arc::clone(&picture)).is_none() {
                stored.bytes += self.frame_bytes;
            }
            self.requested.push(picture);
        }
        Ok(())
    }

    /// The video frame with source index `wanted`.
    fn get_video_frame(
        &mut self,
        video: &'a SampledVideo,
        wanted: usize,
    ) -> Result<Arc<Background>> {
        if let Some(decoded) = self.decoded.get(&wanted) {
            return Ok(Arc::clone(decoded));
        }
        let capacity = (self.budget / self.frame_bytes).max(1);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(SampledVideoReader::new(video)?),
        };
        for source in video
            .sampling
            .decode_range(wanted, capacity, reader.position)
        {
            // Make room first, so that there is never one frame too many.
            while self.decoded.len() >= capacity {
                let last_is_later = self.decoded.keys().next_back() > Some(&wanted);
                let _ = if last_is_later {
                    self.decoded.pop_last()
                } else {
                    self.decoded.pop_first()
                };
            }
            let mut frame = Picture::default();
            reader.read(source, &mut frame)?;
            let background = self.backgrounds.convert(source, frame, self.formats)?;
            self.decoded.insert(source, Arc::new(background));
        }
        Ok(Arc::clone(&self.decoded[&wanted]))
    }
}

/// Decodes one file.
fn load(
    backgrounds: &Backgrounds,
    source: usize,
    path: &Path,
    formats: FrameFormats,
) -> Result<Background> {
    let frame = backgrounds.load(path)?;
    backgrounds.convert(source, frame, formats)
}
