//! Pictures, their sizes, and rectangles in them.

/// Peak signal-to-noise ratio in dB, of samples whose largest value is `peak`; infinite if there is no error.
pub(crate) fn psnr(mean_squared_error: f64, peak: f64) -> f64 {
    10.0 * (peak * peak / mean_squared_error).log10()
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A crop rectangle in pixels of its frame; `x1` and `y1` are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// Column after the last.
    pub x1: u32,
    /// Row after the last.
    pub y1: u32,
}

impl Rect {
    /// Width in pixels.
    pub fn width(self) -> usize {
        (self.x1 - self.x0) as usize
    }

    /// Height in pixels.
    pub fn height(self) -> usize {
        (self.y1 - self.y0) as usize
    }

    /// The same rectangle after its picture was scaled from one size to another. It stays inside, and not empty.
    #[must_use]
    pub fn scaled(self, from: Size, to: Size) -> Self {
        if from == to {
            return self;
        }
        let scale = |at: u32, from: u32, to: u32| {
            let scaled = (f64::from(at) * f64::from(to) / f64::from(from)).round();
            (scaled as u32).min(to)
        };
        let range = |first: u32, end: u32, from: u32, to: u32| {
            let first = scale(first, from, to).min(to - 1);
            (first, scale(end, from, to).max(first + 1))
        };
        let (x0, x1) = range(self.x0, self.x1, from.width, to.width);
        let (y0, y1) = range(self.y0, self.y1, from.height, to.height);
        Self { x0, y0, x1, y1 }
    }

    /// The same rectangle relative to the upper left corner of `area`, in which it lies.
    #[must_use]
    pub fn within(self, area: Rect) -> Self {
        Self {
            x0: self.x0 - area.x0,
            y0: self.y0 - area.y0,
            x1: self.x1 - area.x0,
            y1: self.y1 - area.y0,
        }
    }
}

impl std::fmt::Display for Rect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.x0, self.y0, self.x1, self.y1)
    }
}

/// An 8-bit picture: R G B interleaved, rows from top to bottom without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`, R G B, 0..=255.
    pub pixels: Vec<u8>,
    /// `[height, width]`, 0 (transparent) to 255 (opaque); None if the whole picture is opaque.
    pub alpha: Option<Vec<u8>>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![0; width * height * 3],
            alpha: None,
        }
    }

    /// Becomes a copy of `other`, and reuses its own memory.
    pub fn copy_from(&mut self, other: &Picture) {
        self.width = other.width;
        self.height = other.height;
        self.pixels.clear();
        self.pixels.extend_from_slice(&other.pixels);
        match (&mut self.alpha, &other.alpha) {
            (Some(to), Some(from)) => to.clone_from(from),
            (to, from) => to.clone_from(from),
        }
    }

    /// Becomes an opaque copy of a part of `other`, and reuses its own memory.
    pub fn copy_rect(&mut self, other: &Picture, part: Rect) {
        (self.width, self.height) = (part.width(), part.height());
        self.alpha = None;
        self.pixels.clear();
        let rows = other.pixels.chunks_exact(other.width * 3);
        for row in rows.skip(part.y0 as usize).take(part.height()) {
            self.pixels
                .extend_from_slice(&row[part.x0 as usize * 3..part.x1 as usize * 3]);
        }
    }

    /// Replaces the colours in `place` with those of `part`, which has the same size.
    pub fn put(&mut self, part: &Picture, place: Rect) {
        let rows = self.pixels.chunks_exact_mut(self.width * 3);
        let rows = rows.skip(place.y0 as usize);
        for (row, part) in rows.zip(part.pixels.chunks_exact(part.width * 3)) {
            row[place.x0 as usize * 3..place.x1 as usize * 3].copy_from_slice(part);
        }
    }

    /// Sets the pixels from R G B A, interleaved, and the alpha if any pixel is not opaque. The size stays the same.
    pub fn set_rgba(&mut self, rgba: &[u8]) {
        let pixels = rgba.chunks_exact(4);
        self.pixels.clear();
        self.pixels
            .extend(pixels.clone().flat_map(|p| [p[0], p[1], p[2]]));
        let transparent = pixels.clone().any(|p| p[3] != 255);
        self.alpha = transparent.then(|| pixels.map(|p| p[3]).collect());
    }

    /// Puts the picture on black, so that it becomes opaque.
    pub fn flatten(&mut self) {
        let Some(alpha) = self.alpha.take() else {
            return;
        };
        for (pixel, alpha) in self.pixels.chunks_exact_mut(3).zip(alpha) {
            for value in pixel {
                *value = ((u32::from(*value) * u32::from(alpha) + 127) / 255) as u8;
            }
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        Size {
            width: self.width as u32,
            height: self.height as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scaled_rectangles_stay_inside(
            sides in [1_u32..300, 1..300, 1..300, 1..300],
            corners in [0.0_f64..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0],
        ) {
            let [from, to] = [[sides[0], sides[1]], [sides[2], sides[3]]]
                .map(|[width, height]| Size { width, height });
            let range = |a: f64, b: f64, side: u32| {
                let first = ((a.min(b) * f64::from(side)) as u32).min(side - 1);
                (first, ((a.max(b) * f64::from(side)) as u32).max(first + 1))
            };
            let (x0, x1) = range(corners[0], corners[1], from.width);
            let (y0, y1) = range(corners[2], corners[3], from.height);
            let rect = Rect { x0, y0, x1, y1 };
            let scaled = rect.scaled(from, to);
            prop_assert!(scaled.x0 < scaled.x1 && scaled.x1 <= to.width);
            prop_assert!(scaled.y0 < scaled.y1 && scaled.y1 <= to.height);
            prop_assert_eq!(rect.scaled(from, from), rect);
        }
    }
}
