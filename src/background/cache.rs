//! Decoded backgrounds, kept within a budget.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use super::backgrounds::{Backgrounds, Source};
use super::decoded::{Background, FrameFormats};
use super::footage::{Footage, FootageReader};
use crate::image::Picture;
use crate::timeline::BackgroundIndex;

/// Decodes backgrounds, and keeps of them what fits into its memory.
///
/// Of files, the first ones are kept for good, and for all clips: the pictures are asked for in a cycle, where a cache that keeps the latest
/// would always have lost the next one. A video can be decoded only forward, from a key picture on: going forward, it keeps
/// the latest; going backward, it decodes a run of pictures at a time and hands them out from the end.
pub struct BackgroundCache<'a> {
    backgrounds: &'a Backgrounds,
    forms: FrameFormats,
    /// Pictures of a video by their place.
    decoded: BTreeMap<usize, Arc<Background>>,
    /// Files that were asked for last and had to be decoded.
    missing: Vec<usize>,
    /// The pictures of all that were asked for last.
    passing: Vec<Arc<Background>>,
    /// Bytes of memory for pictures, and how many one takes at most.
    bytes: usize,
    each: usize,
    reader: Option<FootageReader<'a>>,
}

impl<'a> BackgroundCache<'a> {
    /// An empty cache over `backgrounds` that keeps up to so many bytes, and of a video at least one picture.
    pub fn new(backgrounds: &'a Backgrounds, bytes: usize, forms: FrameFormats) -> Self {
        Self {
            backgrounds,
            forms,
            decoded: BTreeMap::new(),
            missing: Vec::new(),
            passing: Vec::new(),
            bytes,
            each: backgrounds.most_bytes(forms),
            reader: None,
        }
    }

    /// Appends the pictures of `indices`, in that order.
    pub fn get(
        &mut self,
        indices: &[BackgroundIndex],
        into: &mut Vec<Arc<Background>>,
    ) -> Result<()> {
        let backgrounds = self.backgrounds;
        match &backgrounds.source {
            Source::Files(paths) => self.get_files(paths, indices, into),
            Source::Video(footage) => {
                for &index in indices {
                    into.push(self.get_shown(footage, backgrounds.place(index))?);
                }
                Ok(())
            }
        }
    }

    /// What is missing is decoded in parallel.
    fn get_files(
        &mut self,
        paths: &[PathBuf],
        places: &[BackgroundIndex],
        into: &mut Vec<Arc<Background>>,
    ) -> Result<()> {
        self.missing.clear();
        self.passing.clear();
        {
            let decoded = self.backgrounds.decoded.pictures();
            for index in places {
                match decoded.by_place.get(&(index.0, self.forms)) {
                    Some(picture) => self.passing.push(Arc::clone(picture)),
                    None => self.missing.push(index.0),
                }
            }
        }
        if !self.missing.is_empty() {
            self.decode(paths)?;
        }
        into.extend(places.iter().filter_map(|index| {
            let mut passing = self.passing.iter();
            passing.find(|picture| picture.place == index.0).cloned()
        }));
        Ok(())
    }

    /// Decodes the files that are missing, and keeps of them what fits.
    fn decode(&mut self, paths: &[PathBuf]) -> Result<()> {
        self.missing.sort_unstable();
        self.missing.dedup();
        let (backgrounds, forms) = (self.backgrounds, self.forms);
        let decoded: Vec<Arc<Background>> = self
            .missing
            .par_iter()
            .map(|&place| load(backgrounds, place, &paths[place], forms).map(Arc::new))
            .collect::<Result<_>>()?;
        let mut stored = backgrounds.decoded.pictures();
        for picture in decoded {
            let fits = stored.bytes + self.each <= self.bytes;
            let key = (picture.place, forms);
            if fits && stored.by_place.insert(key, Arc::clone(&picture)).is_none() {
                stored.bytes += self.each;
            }
            self.passing.push(picture);
        }
        Ok(())
    }

    fn get_shown(&mut self, footage: &'a Footage, wanted: usize) -> Result<Arc<Background>> {
        if let Some(decoded) = self.decoded.get(&wanted) {
            return Ok(Arc::clone(decoded));
        }
        let room = (self.bytes / self.each).max(1);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(FootageReader::new(footage)?),
        };
        for place in footage.sequence.run_to(wanted, room, reader.at) {
            // Room first, so that there is never one picture too many.
            while self.decoded.len() >= room {
                let last_is_passed = self.decoded.keys().next_back() > Some(&wanted);
                let _ = if last_is_passed {
                    self.decoded.pop_last()
                } else {
                    self.decoded.pop_first()
                };
            }
            let mut frame = Picture::default();
            reader.read(place, &mut frame)?;
            let background = self.backgrounds.prepared(place, frame, self.forms)?;
            self.decoded.insert(place, Arc::new(background));
        }
        Ok(Arc::clone(&self.decoded[&wanted]))
    }
}

fn load(
    backgrounds: &Backgrounds,
    place: usize,
    path: &Path,
    forms: FrameFormats,
) -> Result<Background> {
    let frame = backgrounds.load(path)?;
    backgrounds.prepared(place, frame, forms)
}
