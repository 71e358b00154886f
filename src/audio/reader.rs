//! An audio file -> its samples, in pieces.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::checks::became_shorter;
use super::link::{LinkFile, LinkReader};
use super::mix::Mix;
use super::resampler::Resampler;

/// Reads the samples of an [`AudioFile`](super::AudioFile) from its start, in pieces.
pub struct AudioReader {
    path: PathBuf,
    links: Vec<LinkFile>,
    /// Samples per second of the file.
    rate: u32,
    /// Channels of the file.
    channels: u16,
    /// The link that is being read, and the number of the next one.
    link: Option<LinkReader>,
    next_link: usize,
    /// Samples per channel still to read.
    left: u64,
    /// Samples per channel to read and drop.
    skip: u64,
    /// How to make one channel of all, if so.
    mix: Option<Mix>,
    resampler: Option<Resampler>,
    scratch: Vec<f32>,
}

impl AudioReader {
    /// Reads the links of the file at `path`, which together have this sample rate and number of channels. What is read
    /// has `to_rate`, and one channel if `mix` says how to make one.
    pub(super) fn new(
        path: &Path,
        links: &[LinkFile],
        (rate, channels): (u32, u16),
        mix: Option<Mix>,
        to_rate: u32,
    ) -> Result<Self> {
        let channels_out = if mix.is_some() { 1 } else { channels };
        let resampler = (to_rate != rate)
            .then(|| Resampler::new(rate, to_rate, usize::from(channels_out)))
            .transpose()?;
        let mut reader = Self {
            path: path.to_owned(),
            links: links.to_vec(),
            rate,
            channels,
            link: None,
            next_link: 0,
            left: links.iter().map(|link| link.frames_at(rate)).sum(),
            skip: 0,
            mix: mix.filter(|_| channels > 1),
            resampler,
            scratch: Vec::new(),
        };
        reader.open_next()?;
        Ok(reader)
    }

    /// Reads only these samples per channel.
    pub(super) fn limited_to(mut self, samples: Range<u64>) -> Self {
        self.skip = samples.start;
        self.left = samples.end.min(self.left);
        self
    }

    fn open_next(&mut self) -> Result<()> {
        let link = self.links.get(self.next_link);
        let open = |link: &LinkFile| link.reader(self.rate, self.channels);
        self.link = link.map(open).transpose()?;
        self.next_link += 1;
        Ok(())
    }

    /// Appends the next samples, interleaved, -1..1, to `out`. Returns false once the end is reached.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        self.fill_scratch()?;
        let channels = usize::from(self.channels);
        let skipped = self.skip.min((self.scratch.len() / channels) as u64);
        self.skip -= skipped;
        self.scratch.drain(..skipped as usize * channels);
        if let Some(mix) = &self.mix {
            mix.apply(&mut self.scratch, channels);
        }
        match &mut self.resampler {
            None => out.extend_from_slice(&self.scratch),
            Some(resampler) => {
                resampler.push(&self.scratch, out)?;
                if self.left == 0 {
                    resampler.finish(out)?;
                }
            }
        }
        Ok(self.left > 0)
    }

    /// Reads the next samples, all channels, into `scratch`.
    fn fill_scratch(&mut self) -> Result<()> {
        let path = &self.path;
        self.scratch.clear();
        let Some(link) = &mut self.link else {
            return Err(became_shorter(path).into());
        };
        let more = link.read(path, &mut self.scratch)?;
        let channels = usize::from(self.channels);
        let frames = self.left.min((self.scratch.len() / channels) as u64);
        self.scratch.truncate(frames as usize * channels);
        self.left -= frames;
        if !more && self.left > 0 {
            self.open_next()?;
        }
        Ok(())
    }
}
