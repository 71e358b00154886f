//! Pictures: their types, resizing, colours as encoders want them, and buffers that are used again.

pub(crate) mod bicubic;
mod picture;
pub(crate) mod pool;
pub(crate) mod yuv420;

pub use pool::Pool;
pub use yuv420::{Converter, Yuv420};

pub use picture::{Picture, Rect, Size};
