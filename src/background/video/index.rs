//! When the pictures of a video are shown, and where decoding can start.

/// When the pictures of a video are shown, and where reading it can start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// When each picture is shown, in seconds from the stream's start, never falling.
    pub seconds: Vec<f64>,
    /// Numbers of the pictures that can be sought, rising; the first picture always can.
    pub keys: Vec<usize>,
}

impl Timeline {
    pub(super) fn push(&mut self, seconds: f64, is_key: bool) {
        if is_key || self.seconds.is_empty() {
            self.keys.push(self.seconds.len());
        }
        let before = self.seconds.last().copied().unwrap_or(seconds);
        self.seconds.push(seconds.max(before));
    }

    /// Seconds from the first picture to the end of the last one, which lasts as long as the others do on average.
    pub fn lasts(&self, if_single: f64) -> f64 {
        let (count, span) = (self.seconds.len(), self.span());
        if count > 1 && span > 0.0 {
            span * count as f64 / (count - 1) as f64
        } else {
            if_single
        }
    }

    fn span(&self) -> f64 {
        let first = self.seconds.first().copied().unwrap_or(0.0);
        self.seconds.last().copied().unwrap_or(first) - first
    }
}
