//! One decoded background, in the formats that the output needs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::face;
use crate::image::yuv420::{self, Yuv420, YuvConverter};
use crate::image::{Picture, Rect};

/// Formats in which whole backgrounds are kept: those from which the output composes its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FrameFormats {
    /// R G B with alpha.
    pub rgb: bool,
    /// Y U V planes for an encoder.
    pub yuv420: bool,
}

impl FrameFormats {
    /// Only R G B.
    pub const RGB: Self = Self {
        rgb: true,
        yuv420: false,
    };
    /// Only Y U V planes: half the memory of R G B.
    pub const YUV420: Self = Self {
        rgb: false,
        yuv420: true,
    };

    /// What two outputs need together.
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
    /// Which picture it is: the index of a file, or of a frame among those of a video that are used.
    pub place: usize,
    /// Its crop rectangle.
    pub rect: Rect,
    /// The pixels of the crop rectangle, resized to 328x328.
    pub crop: Picture,
    /// What a new mouth may change: the crop rectangle, [extended](yuv420::extend_to_chroma) to whole values of U and V.
    pub area: Rect,
    /// R G B of `area`.
    pub area_pixels: Picture,
    /// The whole picture, if it is kept in this format.
    pub rgb: Option<Picture>,
    /// The whole picture, if it is kept in this format.
    pub yuv420: Option<Yuv420>,
}

impl Background {
    pub(super) fn new(
        place: usize,
        frame: Picture,
        rect: Rect,
        formats: FrameFormats,
    ) -> Result<Self> {
        let crop = face::crop(&frame, rect);
        let area = yuv420::extend_to_chroma(rect, frame.size());
        let mut area_pixels = Picture::default();
        area_pixels.copy_rect(&frame, area);
        let mut planes = formats.yuv420.then(Yuv420::default);
        if let Some(planes) = &mut planes {
            YuvConverter::default().convert(&frame, planes)?;
        }
        Ok(Self {
            place,
            rect,
            crop,
            area,
            area_pixels,
            rgb: formats.rgb.then_some(frame),
            yuv420: planes,
        })
    }
}

/// Decoded files that are kept for all clips that use them.
#[derive(Debug, Default)]
pub(super) struct DecodedFrames(Mutex<DecodedMap>);

/// The files behind the lock.
#[derive(Debug, Default)]
pub(super) struct DecodedMap {
    /// By file index and formats.
    pub(super) frames: HashMap<(usize, FrameFormats), Arc<Background>>,
    /// Memory they take.
    pub(super) bytes: usize,
}

impl DecodedFrames {
    pub(super) fn lock(&self) -> MutexGuard<'_, DecodedMap> {
        // A thread that panicked while it held the lock cannot have left the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn forget(&self) {
        *self.lock() = DecodedMap::default();
    }
}
