//! Open backgrounds, shared by all clips that show them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::background::Backgrounds;
use crate::timeline::FrameRate;

/// What a background is opened with: its path, crop rectangles, the clip's frame rate, and whether transparency is kept.
type BackgroundKey = (PathBuf, Option<PathBuf>, FrameRate, bool);

/// Each background is checked, and its pictures are decoded, once for all clips.
#[derive(Debug, Default)]
pub struct OpenBackgrounds(Mutex<HashMap<BackgroundKey, Arc<Backgrounds>>>);

impl OpenBackgrounds {
    /// See [`Backgrounds::open`].
    pub(super) fn open(
        &self,
        path: &Path,
        crop_rects: Option<&Path>,
        fps: FrameRate,
        keep_alpha: bool,
    ) -> Result<Arc<Backgrounds>> {
        let key = (
            path.to_owned(),
            crop_rects.map(Path::to_owned),
            fps,
            keep_alpha,
        );
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backgrounds) = open.get(&key) {
            return Ok(Arc::clone(backgrounds));
        }
        let backgrounds = Arc::new(Backgrounds::open(path, crop_rects, fps, keep_alpha)?);
        open.insert(key, Arc::clone(&backgrounds));
        Ok(backgrounds)
    }
}
