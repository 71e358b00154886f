//! Decoded pictures -> R G B (and A), by the matrix and the range that they are tagged with.

use anyhow::Result;
use ff::format::Pixel;
use ff::format::pixel::Descriptor;
use ff::software::scaling;
use ff::{color, frame};
use ffmpeg_next as ff;

use super::tags::ColourTags;
use crate::error::Fault;

/// From this height on, untagged pictures are taken as BT.709, as players do.
const HD_HEIGHT: u32 = 720;

/// What decides how a picture is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    format: Pixel,
    width: u32,
    height: u32,
    tags: ColourTags,
}

/// A conversion, planned for the kind of picture it met last.
#[derive(Default)]
pub(super) struct Converter {
    plan: Option<(Kind, scaling::Context)>,
}

impl Converter {
    /// Converts `decoded`; the result is RGBA where the format can be transparent, else RGB24.
    pub(super) fn convert(&mut self, decoded: &frame::Video) -> Result<frame::Video> {
        let kind = Kind {
            format: decoded.format(),
            width: decoded.width(),
            height: decoded.height(),
            tags: ColourTags::of_picture(decoded),
        };
        let plan = match self.plan.take().filter(|(known, _)| *known == kind) {
            Some(plan) => plan,
            None => (kind, plan_for(kind)?),
        };
        let (_, scaler) = self.plan.insert(plan);
        let mut converted = frame::Video::empty();
        scaler.run(decoded, &mut converted)?;
        Ok(converted)
    }
}

fn plan_for(kind: Kind) -> Result<scaling::Context> {
    let Kind {
        format,
        width,
        height,
        ..
    } = kind;
    let components = format.descriptor().map_or(3, Descriptor::nb_components);
    let transparent = matches!(components, 2 | 4) || format == Pixel::PAL8;
    let to = if transparent {
        Pixel::RGBA
    } else {
        Pixel::RGB24
    };
    // Without the full chroma path, colours are repeated from pixel to pixel and several levels off. Bicubic chroma
    // would take twice the time.
    let flags =
        scaling::Flags::BILINEAR | scaling::Flags::FULL_CHR_H_INT | scaling::Flags::ACCURATE_RND;
    let mut scaler = scaling::Context::get(format, width, height, to, width, height, flags)
        .map_err(|e| {
            let name = format.descriptor().map_or("unknown", |d| d.name());
            Fault::failed(format!("pixel format {name} cannot be converted")).because(e)
        })?;
    set_source_colours(&mut scaler, matrix(kind)?, is_full_range(kind));
    Ok(scaler)
}

/// libswscale's number for the matrix.
fn matrix(kind: Kind) -> Result<i32> {
    let number = match kind.tags.space {
        color::Space::BT709 => ff::ffi::SWS_CS_ITU709,
        color::Space::BT470BG | color::Space::SMPTE170M => ff::ffi::SWS_CS_ITU601,
        color::Space::FCC => ff::ffi::SWS_CS_FCC,
        color::Space::SMPTE240M => ff::ffi::SWS_CS_SMPTE240M,
        color::Space::BT2020NCL => ff::ffi::SWS_CS_BT2020,
        // R G B has no matrix; what is named here is not used.
        color::Space::RGB | color::Space::Unspecified => {
            if kind.height >= HD_HEIGHT {
                ff::ffi::SWS_CS_ITU709
            } else {
                ff::ffi::SWS_CS_ITU601
            }
        }
        other => {
            return Err(Fault::failed(format!(
                "colours with the matrix {} cannot be converted",
                other.name().unwrap_or("of an unknown kind")
            ))
            .hint("encode the video again with the matrix bt709")
            .into());
        }
    };
    Ok(number)
}

/// Whether black is 0 and white 255 (and not 16 and 235).
fn is_full_range(kind: Kind) -> bool {
    match kind.tags.range {
        color::Range::JPEG => true,
        color::Range::MPEG => false,
        color::Range::Unspecified => matches!(
            kind.format,
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

/// Tells `scaler` how its source is coded; without it, libswscale takes everything for BT.601.
#[expect(
    unsafe_code,
    reason = "libswscale's colour settings have no safe wrapper"
)]
fn set_source_colours(scaler: &mut scaling::Context, matrix: i32, full: bool) {
    // SAFETY: the context is a live one from `sws_getContext`; the tables of `sws_getCoefficients` are static and are
    // copied; a conversion that has no such settings (R G B to R G B) says so by its result and stays as it was.
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
