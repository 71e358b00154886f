//! One decoded background, in the forms that the output needs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::face;
use crate::image::yuv420::{self, Converter, Yuv420};
use crate::image::{Picture, Rect};

/// The forms in which whole backgrounds are kept: those that the output puts its frames together from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FrameFormats {
    /// R G B, and alpha.
    pub rgb: bool,
    /// Planes for an encoder.
    pub yuv420: bool,
}

impl FrameFormats {
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
    pub(super) fn new(
        place: usize,
        frame: Picture,
        rect: Rect,
        forms: FrameFormats,
    ) -> Result<Self> {
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
}

/// Pictures of files that were decoded and stay, for all that show them.
#[derive(Debug, Default)]
pub(super) struct DecodedFrames(Mutex<Pictures>);

#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// By their place and forms.
    pub(super) by_place: HashMap<(usize, FrameFormats), Arc<Background>>,
    pub(super) bytes: usize,
}

impl DecodedFrames {
    pub(super) fn pictures(&self) -> MutexGuard<'_, Pictures> {
        // Whoever panicked here left a whole map behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.pictures().bytes
    }

    pub(super) fn forget(&self) {
        *self.pictures() = Pictures::default();
    }
}
