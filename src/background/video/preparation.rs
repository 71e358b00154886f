//! What is done to the frames of a background video, and the order of its fields.

use crate::image::Size;

/// Which field of an interlaced frame is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldOrder {
    /// The one with the first row.
    TopFirst,
    /// The one with the second row.
    BottomFirst,
}

impl FieldOrder {
    /// From FFmpeg's number in the codec parameters: 2 to 5 are TT, BB, TB and BT, first the field that is coded first,
    /// then the one that is shown first. None for progressive and for unknown.
    pub(super) fn from_number(number: i32) -> Option<Self> {
        match number {
            2 | 5 => Some(Self::TopFirst),
            3 | 4 => Some(Self::BottomFirst),
            _ => None,
        }
    }

    /// `top field first`, `bottom field first`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TopFirst => "top field first",
            Self::BottomFirst => "bottom field first",
        }
    }
}

/// What is done to stored frames, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Preparation {
    /// Interlaced frames become progressive.
    pub(super) deinterlace: bool,
    /// Colours become those of BT.709.
    pub(super) to_bt709: bool,
    /// Frames are scaled to this size, before they are turned upright.
    pub(super) square: Option<Size>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_orders_are_those_of_ffmpeg() {
        let names = |n| FieldOrder::from_number(n).map(FieldOrder::name);
        assert_eq!([0, 1, 6].map(names), [None; 3]);
        assert_eq!([2, 5].map(names), [Some("top field first"); 2]);
        assert_eq!([3, 4].map(names), [Some("bottom field first"); 2]);
    }
}
