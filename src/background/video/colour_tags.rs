//! Colour tags of streams and frames: matrix, range, transfer characteristic and primaries.
//!
//! A file may contain any number as a tag, and some demuxers pass it on unchecked. Reading it as one of FFmpeg's enums
//! would be undefined behaviour in Rust, so the tags are read as plain numbers.

use std::ptr::addr_of;

use ff::color::{Primaries, Range, Space, TransferCharacteristic};
use ff::ffi::{AVColorPrimaries, AVColorRange, AVColorSpace, AVColorTransferCharacteristic};
use ff::{decoder, frame};
use ffmpeg_next as ff;

/// Colour tags; unknown numbers become "unspecified".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColourTags {
    pub(super) space: Space,
    pub(super) range: Range,
    pub(super) transfer: TransferCharacteristic,
    pub(super) primaries: Primaries,
}

impl ColourTags {
    /// The tags of a stream.
    #[expect(
        unsafe_code,
        reason = "the safe wrapper reads unchecked numbers as enums"
    )]
    pub(super) fn of_stream(decoder: &decoder::Video) -> Self {
        // SAFETY: the context is live. Each field is a C enum of the size of an `i32`, and any bits are a valid `i32`.
        let numbers = unsafe {
            let context = decoder.as_ptr();
            [
                addr_of!((*context).colorspace).cast::<i32>().read(),
                addr_of!((*context).color_range).cast::<i32>().read(),
                addr_of!((*context).color_trc).cast::<i32>().read(),
                addr_of!((*context).color_primaries).cast::<i32>().read(),
            ]
        };
        Self::from_numbers(numbers)
    }

    /// The tags of a decoded frame.
    #[expect(
        unsafe_code,
        reason = "the safe wrapper reads unchecked numbers as enums"
    )]
    pub(super) fn of_frame(frame: &frame::Video) -> Self {
        // SAFETY: the frame is live. Each field is a C enum of the size of an `i32`, and any bits are a valid `i32`.
        let numbers = unsafe {
            let frame = frame.as_ptr();
            [
                addr_of!((*frame).colorspace).cast::<i32>().read(),
                addr_of!((*frame).color_range).cast::<i32>().read(),
                addr_of!((*frame).color_trc).cast::<i32>().read(),
                addr_of!((*frame).color_primaries).cast::<i32>().read(),
            ]
        };
        Self::from_numbers(numbers)
    }

    fn from_numbers([space, range, transfer, primaries]: [i32; 4]) -> Self {
        let spaces = [
            Space::RGB,
            Space::BT709,
            Space::FCC,
            Space::BT470BG,
            Space::SMPTE170M,
            Space::SMPTE240M,
            Space::YCGCO,
            Space::BT2020NCL,
            Space::BT2020CL,
            Space::ICTCP,
        ];
        let transfers = [
            TransferCharacteristic::BT709,
            TransferCharacteristic::GAMMA22,
            TransferCharacteristic::GAMMA28,
            TransferCharacteristic::SMPTE170M,
            TransferCharacteristic::SMPTE240M,
            TransferCharacteristic::Linear,
            TransferCharacteristic::IEC61966_2_1,
            TransferCharacteristic::BT2020_10,
            TransferCharacteristic::BT2020_12,
            TransferCharacteristic::SMPTE2084,
            TransferCharacteristic::ARIB_STD_B67,
        ];
        let gamuts = [Primaries::BT709, Primaries::BT2020, Primaries::SMPTE432];
        Self {
            primaries: gamuts
                .into_iter()
                .find(|&p| AVColorPrimaries::from(p) as i32 == primaries)
                .unwrap_or(Primaries::Unspecified),
            space: spaces
                .into_iter()
                .find(|&s| AVColorSpace::from(s) as i32 == space)
                .unwrap_or(Space::Unspecified),
            range: [Range::MPEG, Range::JPEG]
                .into_iter()
                .find(|&r| AVColorRange::from(r) as i32 == range)
                .unwrap_or(Range::Unspecified),
            transfer: transfers
                .into_iter()
                .find(|&t| AVColorTransferCharacteristic::from(t) as i32 == transfer)
                .unwrap_or(TransferCharacteristic::Unspecified),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_numbers_are_tags() {
        // ITU-T H.273: matrix 9 and primaries 9 are BT.2020's, transfer 16 is PQ; FFmpeg's range 2 is full.
        let tags = ColourTags::from_numbers([9, 2, 16, 9]);
        assert_eq!(tags.space, Space::BT2020NCL);
        assert_eq!(tags.range, Range::JPEG);
        assert_eq!(tags.primaries, Primaries::BT2020);
        assert_eq!(tags.transfer, TransferCharacteristic::SMPTE2084);
    }

    #[test]
    fn tags_of_a_frame_are_read() {
        let mut frame = frame::Video::empty();
        frame.set_color_space(Space::BT709);
        frame.set_color_range(Range::MPEG);
        frame.set_color_transfer_characteristic(TransferCharacteristic::ARIB_STD_B67);
        let tags = ColourTags::of_frame(&frame);
        assert_eq!((tags.space, tags.range), (Space::BT709, Range::MPEG));
        assert_eq!(tags.transfer, TransferCharacteristic::ARIB_STD_B67);
    }

    proptest! {
        #[test]
        fn any_number_is_a_tag_or_unspecified(space: i32, range: i32, transfer: i32, primaries: i32) {
            let tags = ColourTags::from_numbers([space, range, transfer, primaries]);
            prop_assert!((0..=14).contains(&space) || tags.space == Space::Unspecified);
            prop_assert!([1, 9, 12].contains(&primaries) || tags.primaries == Primaries::Unspecified);
            prop_assert!((0..=2).contains(&range) || tags.range == Range::Unspecified);
        }
    }
}
