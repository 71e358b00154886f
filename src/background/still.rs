//! A JPEG, PNG, WebP, BMP or TIFF file of any kind -> R G B, upright, in sRGB.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, ErrorKind, Read as _};
use std::path::Path;

use anyhow::Result;
use image::error::ImageFormatHint;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
};

use super::colour_profile;
use super::other_pictures::OtherFormat;
use crate::error::{Fault, plain_io, quoted};
use crate::files::misnamed;
use crate::image::{Picture, Size};

/// File extensions of pictures, lower case.
const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"];
/// What error messages call a background.
pub(super) const BACKGROUND_FRAME: &str = "background frame";
/// Longest side of a picture in pixels: 8K video has 7680.
pub(super) const MAX_SIDE: u32 = 8192;

/// Whether the file is named like a picture.
pub(crate) fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

/// The size of the upright picture, and whether it may be transparent. Reads only the header.
pub(super) fn header(path: &Path) -> Result<(Size, bool)> {
    let read = || -> ImageResult<(Size, bool)> {
        let reader = ImageReader::new(BufReader::new(File::open(path)?));
        let mut decoder = reader.with_guessed_format()?.into_decoder()?;
        let (width, height) = decoder.dimensions();
        let size = match decoder.orientation()? {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => Size {
                width: height,
                height: width,
            },
            _ => Size { width, height },
        };
        Ok((size, decoder.color_type().has_alpha()))
    };
    let mut start = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(32).read_to_end(&mut start));
    if opened.is_ok() && is_animated(&start) {
        return Err(animated(path, BACKGROUND_FRAME).into());
    }
    let (size, may_be_transparent) = read().map_err(|e| unreadable(path, BACKGROUND_FRAME, e))?;
    if size.width > MAX_SIDE || size.height > MAX_SIDE {
        return Err(fault(path, BACKGROUND_FRAME)
            .because(format!(
                "it is {size}; the maximum is {MAX_SIDE}x{MAX_SIDE}"
            ))
            .hint("make it smaller; if it is not that large, it is damaged: export it again")
            .into());
    }
    Ok((size, may_be_transparent))
}

/// Decodes a picture; error messages call it `what`.
pub(super) fn load(path: &Path, what: &str) -> Result<Picture> {
    let bytes = fs::read(path).map_err(|e| fault(path, what).because(plain_io(&e)))?;
    if is_animated(&bytes) {
        return Err(animated(path, what).into());
    }
    let (picture, profile) = decode(&bytes).map_err(|e| unreadable(path, what, e))?;
    let mut out = Picture {
        width: picture.width() as usize,
        height: picture.height() as usize,
        ..Picture::default()
    };
    if picture.color().has_alpha() {
        out.set_rgba(&picture.into_rgba8());
    } else {
        out.pixels = picture.into_rgb8().into_raw();
    }
    if let Some(profile) = profile {
        colour_profile::to_srgb(&profile, &mut out.pixels);
    }
    Ok(out)
}

/// Decodes a picture that is not a background: of any kind that is read, upright.
pub(crate) fn load_picture(path: &Path) -> Result<Picture> {
    load(path, "frame")
}

/// The upright picture, and its colour profile.
fn decode(bytes: &[u8]) -> ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format() == Some(ImageFormat::Jpeg) && is_truncated(bytes) {
        // The decoder would fill the missing part with grey.
        return Err(ImageError::IoError(ErrorKind::UnexpectedEof.into()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let profile = decoder.icc_profile()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok((picture, profile))
}

/// Whether it is a WebP with several frames: its extended header says so.
fn is_animated(bytes: &[u8]) -> bool {
    const ANIMATION: u8 = 2;
    let extended = bytes.starts_with(b"RIFF") && bytes.get(8..16) == Some(b"WEBPVP8X");
    extended && bytes.get(20).is_some_and(|flags| flags & ANIMATION != 0)
}

fn animated(path: &Path, what: &str) -> Fault {
    fault(path, what)
        .because("it is an animated WebP")
        .hint(format!(
            "write its frames to a folder: anim_dump -folder frames {}",
            quoted(path)
        ))
}

/// Whether a JPEG has no end marker after its last scan. The marker cannot occur inside a scan.
fn is_truncated(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) < last(0xda)
}

fn fault(path: &Path, what: &str) -> Fault {
    Fault::failed(format!("cannot read {what} `{}`", path.display()))
}

fn unreadable(path: &Path, what: &str, error: ImageError) -> Fault {
    match error {
        ImageError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => fault(path, what)
            .because("it is truncated")
            .hint("the picture is damaged; export it again"),
        ImageError::IoError(io) => fault(path, what).because(plain_io(&io)),
        ImageError::Unsupported(kind) if is_another_format(&kind.format_hint()) => {
            another_format(path, what)
        }
        damage => {
            let fault = fault(path, what).because(damage);
            misnamed::explain(fault.hint("the picture is damaged; export it again"), path)
        }
    }
}

fn is_another_format(hint: &ImageFormatHint) -> bool {
    !matches!(
        hint,
        ImageFormatHint::Exact(
            ImageFormat::Jpeg
                | ImageFormat::Png
                | ImageFormat::WebP
                | ImageFormat::Bmp
                | ImageFormat::Tiff
        )
    )
}

fn another_format(path: &Path, what: &str) -> Fault {
    let fault = fault(path, what);
    if let Some(format) = OtherFormat::of_file(path) {
        return fault
            .because(format!("it is {}, whatever its name says", format.name))
            .hint(format!("convert it: {}", format.command(path)));
    }
    let fault = fault
        .because("it is not JPEG, PNG, WebP, BMP or TIFF")
        .hint("convert it to JPEG or PNG, or remove it if it is not a picture");
    misnamed::explain(fault, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_ends_after_its_last_scan() {
        let thumbnail = [0xff, 0xd8, 0xff, 0xda, 7, 0xff, 0xd9];
        let whole = [&thumbnail[..], &[0xff, 0xda, 1, 0xff, 0xd0, 2, 0xff, 0xd9]].concat();
        assert!(!is_truncated(&whole));
        assert!(!is_truncated(&[&whole[..], b"made by a camera"].concat()));
        for end in 10..whole.len() {
            assert!(is_truncated(&whole[..end]), "{end}");
        }
    }
}
