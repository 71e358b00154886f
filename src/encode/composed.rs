//! A finished frame: a background, which several frames share, and the new mouth.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::background::Background;
use crate::image::Picture;
use crate::image::pool::Pooled;

/// A finished frame.
#[derive(Debug)]
pub struct ComposedFrame {
    /// What surrounds the mouth, and the whole frame where the mouth rests.
    pub background: Arc<Background>,
    /// R G B of [`Background::area`] with the new mouth; none where the mouth rests.
    pub patch: Option<Pooled<Picture>>,
}

impl ComposedFrame {
    /// Draws the whole frame; the background must have been prepared with its R G B.
    pub fn draw(&self, into: &mut Picture) -> Result<()> {
        let rgb = self.background.rgb.as_ref();
        into.copy_from(rgb.context("the background was prepared without its R G B")?);
        if let Some(patch) = &self.patch {
            into.put(patch, self.background.area);
        }
        Ok(())
    }
}
