//! A frame on its way to the output: the background that it shares with others, and what is its own.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::background::Background;
use crate::image::Picture;
use crate::image::pool::Pooled;

/// A finished frame.
#[derive(Debug)]
pub struct ComposedFrame {
    /// What it shows around the face, and all that it shows where the mouth rests.
    pub background: Arc<Background>,
    /// R G B of [`Background::area`] with the new mouth in it; none where the networks did not paint.
    pub patch: Option<Pooled<Picture>>,
}

impl ComposedFrame {
    /// Makes `into` the whole frame; the background must have been prepared with its R G B.
    pub fn draw(&self, into: &mut Picture) -> Result<()> {
        let rgb = self.background.rgb.as_ref();
        into.copy_from(rgb.context("a background came without its R G B")?);
        if let Some(patch) = &self.patch {
            into.put(patch, self.background.area);
        }
        Ok(())
    }
}
