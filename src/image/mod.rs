//! Pictures: their types, resizing, colours as encoders want them, and buffers that are used again.

pub mod bicubic;
mod picture;
pub mod pool;
pub mod yuv420;

pub use picture::{Picture, Rect, Size};
