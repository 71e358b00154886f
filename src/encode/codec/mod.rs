//! Video codecs: from `--codec`, `--crf` and `--preset` to an encoder of FFmpeg with checked options.
//!
//! - `encoder`: what an encoder can be set to
//! - `table`: the supported encoders, in order of preference
//! - `select`: which of them to use

mod encoder;
mod select;
mod table;

pub(super) use encoder::PixelFormat;
pub use encoder::VideoEncoder;
pub(crate) use encoder::VideoSettings;
pub use select::Codec;
