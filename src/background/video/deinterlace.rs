//! Interlaced frames -> progressive frames, with FFmpeg's bwdif.
//!
//! bwdif mixes each frame with the one before and the one after. A frame must not depend on how it was reached, by decoding
//! on or by seeking, so all three are passed in each time; those that the filter has already are not sent again.

use anyhow::{Result, anyhow};
use ff::format::Pixel;
use ff::frame;
use ffmpeg_next as ff;

use crate::ffmpeg::filter::FilterChain;

/// A decoded frame with a number that no other one of its reader has, from 1; 0 before the first one.
pub(super) struct Decoded {
    pub(super) frame: frame::Video,
    pub(super) number: u64,
    /// When it is shown, in seconds from the start of the stream.
    pub(super) time: f64,
}

impl Default for Decoded {
    fn default() -> Self {
        Self {
            frame: frame::Video::empty(),
            number: 0,
            time: 0.0,
        }
    }
}

/// What a chain of filters is made for.
type Kind = (Pixel, u32, u32, &'static str);

/// Deinterlaces frames of one reader.
#[derive(Default)]
pub(super) struct Deinterlacer {
    chain: Option<(Kind, FilterChain)>,
    /// The two frames that the filter got last.
    sent: [Option<u64>; 2],
    /// Frames sent so far.
    clock: i64,
}

impl Deinterlacer {
    /// Deinterlaces `current`. Neighbours of another kind, and at the ends of the video, are replaced by itself.
    pub(super) fn run(
        &mut self,
        previous: Option<&Decoded>,
        current: &Decoded,
        next: Option<&Decoded>,
        parity: &'static str,
    ) -> Result<frame::Video> {
        let kind = kind(current, parity);
        let alike = |frame: &&Decoded| self::kind(frame, parity) == kind;
        let previous = previous.filter(alike).unwrap_or(current);
        let next = next.filter(alike).unwrap_or(current);
        if self.chain.as_ref().is_none_or(|(known, _)| *known != kind) {
            let filters = format!("bwdif=mode=send_frame:parity={parity}:deint=all");
            self.chain = Some((kind, FilterChain::new(&filters, &current.frame)?));
            self.sent = [None; 2];
        }
        let known = self.sent == [Some(previous.number), Some(current.number)];
        let first = if known { 2 } else { 0 };
        // The filter is one frame behind: the last one that it returns is `current`.
        let mut finished = None;
        if let Some((_, chain)) = &mut self.chain {
            for frame in [previous, current, next].into_iter().skip(first) {
                self.clock += 1;
                chain.push(&frame.frame, self.clock)?;
                self.sent = [self.sent[1], Some(frame.number)];
                while let Some(frame) = chain.pull()? {
                    finished = Some(frame);
                }
            }
        }
        finished.ok_or_else(|| anyhow!("bwdif returned no frame"))
    }
}

fn kind(decoded: &Decoded, parity: &'static str) -> Kind {
    let frame = &decoded.frame;
    (frame.format(), frame.width(), frame.height(), parity)
}
