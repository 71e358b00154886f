//! R G B and alpha -> Y U V A 4:4:4, 10 bit, limited range.

use ff::frame;
use ffmpeg_next as ff;

use crate::image::Picture;

/// R G B, full range, and alpha -> Y U V A 4:4:4, BT.709, limited range (alpha full), 10 bit.
pub(super) fn to_yuva444(picture: &Picture, frame: &mut frame::Video) {
    let (width, height) = (picture.width, picture.height);
    for (plane, (weights, offset)) in yuv10_weights().into_iter().enumerate() {
        let stride = frame.stride(plane);
        let rows = frame.data_mut(plane).chunks_exact_mut(stride);
        for (to, from) in rows.zip(picture.pixels.chunks_exact(width * 3)) {
            for (to, rgb) in to.chunks_exact_mut(2).zip(from.chunks_exact(3)) {
                let sum: i32 = (0..3).map(|c| weights[c] * i32::from(rgb[c])).sum();
                let value = (sum + offset) >> WEIGHT_BITS;
                to.copy_from_slice(&(value as u16).to_le_bytes());
            }
        }
    }
    let stride = frame.stride(3);
    for (y, to) in frame
        .data_mut(3)
        .chunks_exact_mut(stride)
        .take(height)
        .enumerate()
    {
        for (x, to) in to.chunks_exact_mut(2).take(width).enumerate() {
            let alpha = picture.alpha.as_ref().map_or(255, |a| a[y * width + x]);
            let value = (u32::from(alpha) * 1023 + 127) / 255;
            to.copy_from_slice(&(value as u16).to_le_bytes());
        }
    }
}

/// Fractional bits of the integer weights.
const WEIGHT_BITS: u32 = 16;

/// For each of Y, U and V: the weights of R, G and B (0..=255), and an offset that includes half a level for rounding
/// (ITU-R BT.709-6, 3: 10-bit Y in 64..=940, U and V in 64..=960 about 512).
fn yuv10_weights() -> [([i32; 3], i32); 3] {
    const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];
    let fixed = |value: f64| (value * f64::from(1 << WEIGHT_BITS)).round() as i32;
    let luma = LUMA.map(|weight| fixed(weight * 876.0 / 255.0));
    let chroma = |of: usize| {
        let spread = 2.0 * (1.0 - LUMA[of]);
        [0, 1, 2].map(|c| {
            let difference = if c == of { 1.0 - LUMA[c] } else { -LUMA[c] };
            fixed(difference / spread * 896.0 / 255.0)
        })
    };
    [
        (luma, fixed(64.5)),
        (chroma(2), fixed(512.5)),
        (chroma(0), fixed(512.5)),
    ]
}

#[cfg(test)]
mod tests {
    use ff::format;

    use super::*;

    #[test]
    fn ten_bit_colours_are_bt709_limited_and_keep_alpha() {
        for (rgb, alpha, yuva) in [
            ([255, 255, 255], None, [940, 512, 512, 1023]),
            ([0, 0, 0], Some(0), [64, 512, 512, 0]),
            ([255, 0, 0], Some(128), [250, 409, 960, 514]),
            ([0, 255, 0], Some(255), [691, 167, 105, 1023]),
            ([0, 0, 255], Some(1), [127, 960, 471, 4]),
        ] {
            let picture = Picture {
                width: 3,
                height: 5,
                pixels: rgb.repeat(15),
                alpha: alpha.map(|a| vec![a; 15]),
            };
            let mut frame = frame::Video::new(format::Pixel::YUVA444P10LE, 3, 5);
            to_yuva444(&picture, &mut frame);
            for (plane, want) in yuva.into_iter().enumerate() {
                let last = 4 * frame.stride(plane) + 4;
                for at in [0, last] {
                    let data = &frame.data(plane)[at..at + 2];
                    let got = u16::from_le_bytes([data[0], data[1]]);
                    assert!(
                        got.abs_diff(want) <= 1,
                        "{rgb:?}: plane {plane} is {got}, not {want}"
                    );
                }
            }
        }
    }
}
