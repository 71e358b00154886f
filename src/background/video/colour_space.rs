//! Colour space conversion: decoded frames -> R G B (A), with the matrix and range of their tags.

use anyhow::Result;
use ff::format::Pixel;
use ff::format::pixel::Descriptor;
use ff::software::scaling;
use ff::{color, frame};
use ffmpeg_next as ff;

use super::colour_tags::ColourTags;
use crate::error::Fault;
use crate::image::Size;

/// Frames of this height or more are BT.709 if they are not tagged, as in players.
const HD_HEIGHT: u32 = 720;

/// What determines the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceFormat {
    format: Pixel,
    width: u32,
    height: u32,
    tags: ColourTags,
    /// Size after the conversion.
    scaled: Size,
}

/// Converts frames; the conversion is planned again when their format changes.
#[derive(Default)]
pub(super) struct RgbConverter {
    current: Option<(SourceFormat, scaling::Context)>,
}

impl RgbConverter {
    /// Converts `decoded` to RGBA if its format can be transparent, else to RGB24, and scales it to `size`.
    pub(super) fn convert(&mut self, decoded: &frame::Video, size: Size) -> Result<frame::Video> {
        let source = SourceFormat {
            format: decoded.format(),
            width: decoded.width(),
            height: decoded.height(),
            tags: ColourTags::of_frame(decoded),
            scaled: size,
        };
        let current = match self.current.take().filter(|(known, _)| *known == source) {
            Some(current) => current,
            None => (source, new_scaler(source)?),
        };
        let (_, scaler) = self.current.insert(current);
        let mut converted = frame::Video::empty();
        scaler.run(decoded, &mut converted)?;
        Ok(converted)
    }
}

/// Plans a conversion.
fn new_scaler(source: SourceFormat) -> Result<scaling::Context> {
    let SourceFormat {
        format,
        width,
        height,
        scaled,
        ..
    } = source;
    let components = format.descriptor().map_or(3, Descriptor::nb_components);
    let transparent = matches!(components, 2 | 4) || format == Pixel::PAL8;
    let target = if transparent {
        Pixel::RGBA
    } else {
        Pixel::RGB24
    };
    // Bicubic interpolation takes twice the time, and shows only where frames are scaled.
    let interpolation = if scaled == (Size { width, height }) {
        scaling::Flags::BILINEAR
    } else {
        scaling::Flags::BICUBIC
    };
    // Without full chroma interpolation, colours are copied from pixel to pixel and several levels off.
    let flags = interpolation | scaling::Flags::FULL_CHR_H_INT | scaling::Flags::ACCURATE_RND;
    let (to_width, to_height) = (scaled.width, scaled.height);
    let mut scaler = scaling::Context::get(
        format, width, height, target, to_width, to_height, flags,
    )
    .map_err(|e| {
        let name = format.descriptor().map_or("unknown", |d| d.name());
        Fault::failed(format!("pixel format {name} cannot be converted")).because(e)
    })?;
    set_source_colours(&mut scaler, matrix(source)?, is_full_range(source));
    Ok(scaler)
}

/// libswscale's number for the matrix.
fn matrix(source: SourceFormat) -> Result<i32> {
    let number = match source.tags.space {
        color::Space::BT709 => ff::ffi::SWS_CS_ITU709,
        color::Space::BT470BG | color::Space::SMPTE170M => ff::ffi::SWS_CS_ITU601,
        color::Space::FCC => ff::ffi::SWS_CS_FCC,
        color::Space::SMPTE240M => ff::ffi::SWS_CS_SMPTE240M,
        color::Space::BT2020NCL => ff::ffi::SWS_CS_BT2020,
        // R G B has no matrix, and does not use the one returned here.
        color::Space::RGB | color::Space::Unspecified => {
            if source.height >= HD_HEIGHT {
                ff::ffi::SWS_CS_ITU709
            } else {
                ff::ffi::SWS_CS_ITU601
            }
        }
        other => {
            return Err(Fault::failed(format!(
                "colour matrix {} is not supported",
                other.name().unwrap_or("unknown")
            ))
            .hint("encode the video again with the matrix bt709")
            .into());
        }
    };
    Ok(number)
}

/// Whether black is 0 and white is 255, and not 16 and 235.
fn is_full_range(source: SourceFormat) -> bool {
    match source.tags.range {
        color::Range::JPEG => true,
        color::Range::MPEG => false,
        color::Range::Unspecified => matches!(
            source.format,
            Pixel::YUVJ420P
                | Pixel::YUVJ422P
                | Pixel::YUVJ444P
                | Pixel::YUVJ440P
                | Pixel::YUVJ411P
                | Pixel::GRAY8
                | Pixel::GRAY16LE
                | Pixel::YA8
                | Pixel::YA16LE
                | Pixel::YA16BE
        ),
    }
}

/// Sets matrix and range of the source; without them, libswscale assumes BT.601.
#[expect(
    unsafe_code,
    reason = "libswscale's colour settings have no safe wrapper"
)]
fn set_source_colours(scaler: &mut scaling::Context, matrix: i32, full: bool) {
    // SAFETY: the context is live and was made by `sws_getContext`. The tables of `sws_getCoefficients` are static, and
    // are copied. A conversion without these settings (R G B to R G B) returns an error and stays unchanged.
    unsafe {
        let from = ff::ffi::sws_getCoefficients(matrix);
        let to = ff::ffi::sws_getCoefficients(ff::ffi::SWS_CS_DEFAULT);
        ff::ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            from,
            i32::from(full),
            to,
            1,
            0,
            1 << 16,
            1 << 16,
        );
    }
}
