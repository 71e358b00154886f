//! Where the pixels of a bilinearly upsampled picture lie in their source.

/// How a bilinear upsample aligns the two pictures: ONNX's `coordinate_transformation_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// `align_corners`: the centres of the corner pixels coincide.
    AlignCorners,
    /// `half_pixel`: the edges of the pictures coincide.
    HalfPixel,
}

/// A position between two values of a row or column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) before: usize,
    pub(super) after: usize,
    /// 0 at `before`, 1 at `after`.
    pub(super) fraction: f32,
}

impl Grid {
    /// The position of each of `large` pixels among `small` ones.
    pub(super) fn positions(self, small: usize, large: usize) -> Vec<Position> {
        let last = small - 1;
        let position = |index: usize| {
            let source = match self {
                Self::AlignCorners if large == 1 => 0.0,
                Self::AlignCorners => index as f64 * last as f64 / (large - 1) as f64,
                Self::HalfPixel => (index as f64 + 0.5) * small as f64 / large as f64 - 0.5,
            };
            let source = source.clamp(0.0, last as f64);
            let before = source as usize;
            Position {
                before,
                after: (before + 1).min(last),
                fraction: (source - before as f64) as f32,
            }
        };
        (0..large).map(position).collect()
    }
}
