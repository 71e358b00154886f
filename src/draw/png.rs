//! Pictures written as PNG files, whole or not at all.

use std::fs;
use std::path::Path;

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::cancel::Cancel;
use crate::output::{StagedOutput, Target};

/// Writes a picture to `target`.
pub(crate) fn save(picture: &RgbImage, target: Target, cancel: &Cancel) -> Result<()> {
    target.save(&png(picture)?, cancel)
}

/// Writes a picture that is not yet in its place: the caller commits it.
pub(crate) fn written(picture: &RgbImage, target: Target) -> Result<StagedOutput> {
    let staged = target.begin()?;
    write(picture, staged.path(), &staged)?;
    Ok(staged)
}

/// Writes a picture to `path`, which is the path of `staged` or lies in it.
pub(crate) fn write(picture: &RgbImage, path: &Path, staged: &StagedOutput) -> Result<()> {
    Ok(fs::write(path, png(picture)?).map_err(|e| staged.cannot_write(&e))?)
}

/// A picture as PNG, in memory: the encoder's errors do not tell a full disk from others.
pub(crate) fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(
            picture,
            picture.width(),
            picture.height(),
            ExtendedColorType::Rgb8,
        )?;
    Ok(bytes)
}
