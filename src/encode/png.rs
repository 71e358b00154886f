//! Frames -> a folder of PNGs, exactly as composited.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::FrameSink;
use crate::error::Fault;
use crate::frame::Picture;
use crate::output::{Part, Target};

/// Writes `000000.png`, `000001.png`, ..
pub struct PngFolder {
    part: Part,
    next: u64,
}

impl PngFolder {
    /// Starts a folder at `target`.
    pub fn create(target: Target) -> Result<Self> {
        Ok(Self {
            part: target.begin()?,
            next: 0,
        })
    }
}

impl FrameSink for PngFolder {
    fn write(&mut self, frame: &Picture) -> Result<()> {
        let path = self.part.path().join(format!("{:06}.png", self.next));
        self.next += 1;
        let size = frame.size();
        let write = || -> Result<()> {
            let mut file = BufWriter::new(File::create(&path)?);
            PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
                .write_image(
                    &frame.pixels,
                    size.width,
                    size.height,
                    ExtendedColorType::Rgb8,
                )?;
            Ok(file.flush()?)
        };
        write().map_err(|e| {
            Fault::failed(format!("cannot write frame `{}`", path.display()))
                .because(e)
                .into()
        })
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.part.commit()
    }
}
