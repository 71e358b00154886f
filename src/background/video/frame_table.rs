//! When the frames of a video are shown, and where decoding can start.

/// The timestamps and key frames of a video.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameTable {
    /// When each frame is shown, in seconds from the start of the stream, never decreasing.
    pub timestamps: Vec<f64>,
    /// Numbers of the frames at which decoding can start, ascending; the first frame is always one.
    pub key_frames: Vec<usize>,
    /// Whether an interlaced frame was found while the file was decoded to list the frames.
    pub interlaced: bool,
}

impl FrameTable {
    /// Appends the next frame.
    pub(super) fn push(&mut self, seconds: f64, is_key: bool) {
        if is_key || self.timestamps.is_empty() {
            self.key_frames.push(self.timestamps.len());
        }
        let previous = self.timestamps.last().copied().unwrap_or(seconds);
        self.timestamps.push(seconds.max(previous));
    }

    /// Seconds from the first frame to the end of the last one, which lasts as long as the others on average;
    /// `if_single` if there is only one frame, or all have the same timestamp.
    pub fn duration(&self, if_single: f64) -> f64 {
        let (count, span) = (self.timestamps.len(), self.span());
        if count > 1 && span > 0.0 {
            span * count as f64 / (count - 1) as f64
        } else {
            if_single
        }
    }

    fn span(&self) -> f64 {
        let first = self.timestamps.first().copied().unwrap_or(0.0);
        self.timestamps.last().copied().unwrap_or(first) - first
    }
}
