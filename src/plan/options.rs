//! Types of options that only a plan knows.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use crate::inference::onnx::Placement;

/// Frames per run of the generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// What suits the device.
    Auto,
    /// This many.
    Fixed(NonZeroUsize),
}

impl BatchSize {
    /// The number for networks that run at `placement`.
    pub fn on(self, placement: &Placement) -> usize {
        match self {
            Self::Fixed(n) => n.get(),
            // A CPU is no faster with more, and each frame takes memory; a GPU needs them to be busy.
            Self::Auto if placement.on_cpu() => 1,
            Self::Auto => 16,
        }
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= 256);
        number
            .map(Self::Fixed)
            .ok_or_else(|| "expected auto or 1 to 256".into())
    }
}

/// What the mouth does in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Silence {
    /// what the networks paint
    Model,
    /// in pauses of 0.3 s or more, the background's own mouth
    Rest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_are_checked() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert!("0".parse::<BatchSize>().is_err());
        assert!("257".parse::<BatchSize>().is_err());
    }
}
