//! Frames -> a folder of lossless PNGs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::FrameSink;
use super::mark::Mark;
use crate::background::FrameFormats;
use crate::encode::composed::ComposedFrame;
use crate::image::Picture;
use crate::output::{StagedOutput, Target};

/// The keyword of the chunk that holds XMP (XMP specification, part 3, 1.1.5).
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Writes `000000.png`, `000001.png`, ..
pub struct PngFolder {
    staged: StagedOutput,
    next: u64,
    /// The XMP packet with the mark, if any.
    xmp: Option<String>,
    /// The current frame.
    whole: Picture,
}

impl PngFolder {
    /// Starts a folder at `target`, with `mark` in each PNG.
    pub fn create(target: Target, mark: Option<&Mark>) -> anyhow::Result<Self> {
        Ok(Self {
            staged: target.begin()?,
            next: 0,
            xmp: mark.map(Mark::xmp),
            whole: Picture::default(),
        })
    }
}

impl FrameSink for PngFolder {
    fn forms(&self) -> FrameFormats {
        FrameFormats::RGB
    }

    fn write(&mut self, frame: &ComposedFrame) -> anyhow::Result<()> {
        frame.draw(&mut self.whole)?;
        let path = self.staged.path().join(format!("{:06}.png", self.next));
        self.next += 1;
        write(&path, &self.whole, self.xmp.as_deref())
            .map_err(|e| self.staged.cannot_write(&e).into())
    }

    fn complete(self: Box<Self>) -> anyhow::Result<Option<StagedOutput>> {
        Ok(Some(self.staged))
    }
}

fn write(path: &Path, picture: &Picture, xmp: Option<&str>) -> io::Result<()> {
    encode(path, picture, xmp).map_err(|e| match e {
        png::EncodingError::IoError(io) => io,
        other => io::Error::other(other),
    })
}

/// Writes R G B, or R G B A where the picture has alpha.
fn encode(path: &Path, picture: &Picture, xmp: Option<&str>) -> Result<(), png::EncodingError> {
    let mut file = BufWriter::new(File::create(path)?);
    let size = picture.size();
    let mut encoder = png::Encoder::new(&mut file, size.width, size.height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if let Some(xmp) = xmp {
        let added = encoder.add_itxt_chunk(XMP_KEYWORD.to_owned(), xmp.to_owned());
        added.map_err(plain)?;
    }
    match &picture.alpha {
        None => {
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().map_err(plain)?;
            writer.write_image_data(&picture.pixels).map_err(plain)?;
            writer.finish().map_err(plain)?;
        }
        Some(alpha) => {
            encoder.set_color(png::ColorType::Rgba);
            let pixels = picture.pixels.chunks_exact(3).zip(alpha);
            let rgba: Vec<u8> = pixels
                .flat_map(|(rgb, &a)| [rgb[0], rgb[1], rgb[2], a])
                .collect();
            let mut writer = encoder.write_header().map_err(plain)?;
            writer.write_image_data(&rgba).map_err(plain)?;
            writer.finish().map_err(plain)?;
        }
    }
    Ok(file.flush()?)
}

/// The operating system's error of a failed write: the crate's own conversion would lose its kind.
fn plain(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
