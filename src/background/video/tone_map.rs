//! HDR and wide gamuts -> BT.709, with FFmpeg's zscale and tonemap.
//!
//! HDR's reference white of 203 cd/m² (ITU-R BT.2408) becomes the white of BT.709. Darker tones keep their brightness up to
//! 30 %; from there on, tones up to 1000 cd/m² are compressed (tonemap's curve `mobius`), and brighter ones are white. What
//! the file says about the display that it was mastered on is not used.

use std::ffi::CStr;

use anyhow::{Result, anyhow};
use ff::color::{Primaries, Range, Space, TransferCharacteristic};
use ff::format::Pixel;
use ff::format::pixel::Descriptor;
use ff::frame;
use ffmpeg_next as ff;

use super::colour_tags::ColourTags;
use crate::ffmpeg::filter::FilterChain;

/// The filters that are needed.
pub(super) const FILTERS: [&CStr; 3] = [c"zscale", c"tonemap", c"format"];
/// Reference white of HDR in cd/m².
const WHITE: u32 = 203;
/// Brightest tone that stays below white, as a multiple of reference white: 1000 cd/m².
const PEAK: u32 = 5;

/// What a chain of filters is made for.
type Kind = (Pixel, u32, u32, ColourTags);

/// Converts frames; the chain of filters is made again when their format changes.
#[derive(Default)]
pub(super) struct ToneMapper {
    chain: Option<(Kind, FilterChain)>,
    /// Frames sent so far.
    clock: i64,
}

impl ToneMapper {
    /// Converts `frame` to R G B.
    pub(super) fn run(&mut self, frame: &frame::Video, stream: ColourTags) -> Result<frame::Video> {
        let mut tags = ColourTags::of_frame(frame);
        if tags.transfer == TransferCharacteristic::Unspecified {
            tags.transfer = stream.transfer;
        }
        if tags.primaries == Primaries::Unspecified {
            tags.primaries = stream.primaries;
        }
        let kind = (frame.format(), frame.width(), frame.height(), tags);
        let mut chain = match self.chain.take() {
            Some((known, chain)) if known == kind => chain,
            _ => FilterChain::new(&filters(frame.format(), tags), frame)?,
        };
        self.clock += 1;
        chain.push(frame, self.clock)?;
        let converted = chain.pull()?;
        self.chain = Some((kind, chain));
        converted.ok_or_else(|| anyhow!("tonemap returned no frame"))
    }
}

/// The chain from the pixel format `format` to 8-bit R G B, with alpha if it has alpha.
fn filters(format: Pixel, tags: ColourTags) -> String {
    let descriptor = format.descriptor();
    let name = descriptor.map_or("", |d| d.name());
    let is_rgb = ["gbr", "rgb", "bgr", "argb", "abgr"]
        .iter()
        .any(|start| name.starts_with(start));
    let has_alpha = descriptor.map_or(3, Descriptor::nb_components) == 4;
    let (matrix, range) = match (is_rgb, tags.range) {
        (true, _) => ("gbr", "pc"),
        (false, Range::JPEG) => (matrix(tags), "pc"),
        (false, _) => (matrix(tags), "tv"),
    };
    let (float, out) = if has_alpha {
        ("gbrapf32le", "gbrap")
    } else {
        ("gbrpf32le", "gbrp")
    };
    let gamut = primaries(tags);
    // Without `p`, the primaries of the frame count for the output, which may not be tagged.
    format!(
        "zscale=tin={}:pin={gamut}:p={gamut}:min={matrix}:rin={range}:{},zscale=t=709:m=gbr:r=pc,format={out}",
        transfer(tags),
        to_bt709(tags, float)
    )
}

/// The chain for the program ffmpeg, which reads the tags itself.
pub(super) fn command_filters(tags: ColourTags) -> String {
    let filters = to_bt709(tags, "gbrpf32le");
    format!("zscale={filters},zscale=t=bt709:m=bt709:r=tv")
}

/// The chain for the program ffmpeg and R G B pictures in BT.2020, which it takes for SDR.
pub(crate) fn picture_filters(is_hlg: bool) -> String {
    let transfer = if is_hlg {
        TransferCharacteristic::ARIB_STD_B67
    } else {
        TransferCharacteristic::SMPTE2084
    };
    let tags = ColourTags {
        space: Space::RGB,
        range: Range::JPEG,
        transfer,
        primaries: Primaries::BT2020,
    };
    filters(Pixel::RGB48LE, tags)
}

/// From linear light to linear light of BT.709.
fn to_bt709(tags: ColourTags, float: &str) -> String {
    let linear = format!("t=linear:npl={WHITE},format={float},zscale=p=bt709");
    if is_hdr(tags) {
        format!("{linear},tonemap=mobius:desat=0:peak={PEAK}")
    } else {
        linear
    }
}

fn is_hdr(tags: ColourTags) -> bool {
    matches!(
        tags.transfer,
        TransferCharacteristic::SMPTE2084 | TransferCharacteristic::ARIB_STD_B67
    )
}

/// zscale's names; untagged HDR is BT.2020.
fn transfer(tags: ColourTags) -> &'static str {
    match tags.transfer {
        TransferCharacteristic::SMPTE2084 => "smpte2084",
        TransferCharacteristic::ARIB_STD_B67 => "arib-std-b67",
        _ => "709",
    }
}

fn primaries(tags: ColourTags) -> &'static str {
    match tags.primaries {
        Primaries::BT709 => "709",
        Primaries::SMPTE432 => "smpte432",
        _ => "2020",
    }
}

fn matrix(tags: ColourTags) -> &'static str {
    match tags.space {
        Space::BT709 => "709",
        Space::BT470BG | Space::SMPTE170M => "170m",
        Space::BT2020CL => "2020_cl",
        Space::ICTCP => "ictcp",
        Space::Unspecified if tags.primaries == Primaries::SMPTE432 => "709",
        _ => "2020_ncl",
    }
}
