//! Decoded backgrounds, in the forms that the output needs, kept within a budget.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use super::footage::{Footage, FootageReader};
use super::{Backgrounds, Source};
use crate::face;
use crate::frame::{BackgroundIndex, Picture, Rect};
use crate::yuv420::{self, Converter, Yuv420};

/// The forms in which whole backgrounds are kept: those that the output puts its frames together from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forms {
    /// R G B, and alpha.
    pub rgb: bool,
    /// Planes for an encoder.
    pub yuv420: bool,
}

impl Forms {
    /// R G B alone.
    pub const RGB: Self = Self {
        rgb: true,
        yuv420: false,
    };
    /// Planes alone: half the memory of R G B.
    pub const YUV420: Self = Self {
        rgb: false,
        yuv420: true,
    };

    /// What either of two outputs needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rgb: self.rgb || other.rgb,
            yuv420: self.yuv420 || other.yuv420,
        }
    }
}

/// A decoded background picture.
#[derive(Debug)]
pub struct Background {
    /// Which picture it is: the number of a file, or of a picture among those of a video that are shown.
    pub place: usize,
    /// Where its face is.
    pub rect: Rect,
    /// The rectangle resized to 328x328.
    pub crop: Picture,
    /// What a new mouth may change: the rectangle, [grown](yuv420::grown) to whole values of U and V.
    pub area: Rect,
    /// R G B of `area`.
    pub under: Picture,
    /// The whole picture, if it is kept in this form.
    pub rgb: Option<Picture>,
    /// The whole picture, if it is kept in this form.
    pub yuv420: Option<Yuv420>,
}

impl Background {
    pub(super) fn new(place: usize, frame: Picture, rect: Rect, forms: Forms) -> Result<Self> {
        let crop = face::crop(&frame, rect);
        let area = yuv420::grown(rect, frame.size());
        let mut under = Picture::default();
        under.copy_part(&frame, area);
        let mut planes = forms.yuv420.then(Yuv420::default);
        if let Some(planes) = &mut planes {
            Converter::default().convert(&frame, planes)?;
        }
        Ok(Self {
            place,
            rect,
            crop,
            area,
            under,
            rgb: forms.rgb.then_some(frame),
            yuv420: planes,
        })
    }

    /// Memory that one of `backgrounds` takes at most, in bytes.
    fn most_bytes(backgrounds: &Backgrounds, forms: Forms) -> usize {
        let size = backgrounds.size();
        let pixels = size.width as usize * size.height as usize;
        let areas = backgrounds.rects.iter().map(|&rect| {
            let area = yuv420::grown(rect, size);
            area.width() * area.height()
        });
        let rgb = pixels * if backgrounds.has_alpha() { 4 } else { 3 };
        areas.max().unwrap_or(0) * 3
            + face::CROP * face::CROP * 3
            + if forms.rgb { rgb } else { 0 }
            + if forms.yuv420 { Yuv420::bytes(size) } else { 0 }
    }
}

/// Decodes backgrounds, and keeps of them what fits into its memory.
///
/// Of files, it keeps the first ones for good: the pictures are asked for in a cycle, where a cache that keeps the latest
/// would always have lost the next one. A video can be decoded only forward, from a key picture on: going forward, it keeps
/// the latest; going backward, it decodes a run of pictures at a time and hands them out from the end.
pub struct BackgroundCache<'a> {
    backgrounds: &'a Backgrounds,
    forms: Forms,
    /// Pictures by their place.
    kept: BTreeMap<usize, Arc<Background>>,
    /// Files that were asked for last and had to be decoded.
    missing: Vec<usize>,
    /// What came of them, until the next ones are decoded.
    passing: Vec<Arc<Background>>,
    /// How many pictures fit.
    room: usize,
    reader: Option<FootageReader<'a>>,
}

impl<'a> BackgroundCache<'a> {
    /// An empty cache over `backgrounds` that keeps up to so many bytes, and of a video at least one picture.
    pub fn new(backgrounds: &'a Backgrounds, bytes: usize, forms: Forms) -> Self {
        Self {
            backgrounds,
            forms,
            kept: BTreeMap::new(),
            missing: Vec::new(),
            passing: Vec::new(),
            room: bytes / Background::most_bytes(backgrounds, forms),
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
        let missing = places.iter().map(|index| index.0);
        self.missing
            .extend(missing.filter(|place| !self.kept.contains_key(place)));
        if !self.missing.is_empty() {
            self.decode(paths)?;
        }
        into.extend(places.iter().filter_map(|index| {
            let passing = || self.passing.iter().find(|p| p.place == index.0);
            self.kept.get(&index.0).or_else(passing).map(Arc::clone)
        }));
        Ok(())
    }

    /// Decodes the files that are missing, and keeps of them what fits.
    fn decode(&mut self, paths: &[PathBuf]) -> Result<()> {
        self.missing.sort_unstable();
        self.missing.dedup();
        let (backgrounds, forms) = (self.backgrounds, self.forms);
        self.passing = self
            .missing
            .par_iter()
            .map(|&place| load(backgrounds, place, &paths[place], forms).map(Arc::new))
            .collect::<Result<_>>()?;
        for picture in &self.passing {
            if self.kept.len() < self.room {
                self.kept.insert(picture.place, Arc::clone(picture));
            }
        }
        Ok(())
    }

    fn get_shown(&mut self, footage: &'a Footage, wanted: usize) -> Result<Arc<Background>> {
        if let Some(kept) = self.kept.get(&wanted) {
            return Ok(Arc::clone(kept));
        }
        let room = self.room.max(1);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(FootageReader::new(footage)?),
        };
        for place in footage.sequence.run_to(wanted, room, reader.at) {
            // Room first, so that there is never one picture too many.
            while self.kept.len() >= room {
                let last_is_passed = self.kept.keys().next_back() > Some(&wanted);
                let _ = if last_is_passed {
                    self.kept.pop_last()
                } else {
                    self.kept.pop_first()
                };
            }
            let mut frame = Picture::default();
            reader.read(place, &mut frame)?;
            let background = self.backgrounds.prepared(place, frame, self.forms)?;
            self.kept.insert(place, Arc::new(background));
        }
        Ok(Arc::clone(&self.kept[&wanted]))
    }
}

fn load(backgrounds: &Backgrounds, place: usize, path: &Path, forms: Forms) -> Result<Background> {
    let frame = backgrounds.load(path)?;
    backgrounds.prepared(place, frame, forms)
}
