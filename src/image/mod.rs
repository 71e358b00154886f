//! Pictures in memory, and what every room does with them.
//!
//! | file | what it does |
//! | --- | --- |
//! | `picture` | 8-bit R G B pictures, sizes and rectangles: [`Picture`], [`Size`], [`Rect`] |
//! | `bicubic` | resizes as OpenCV's `INTER_CUBIC` does |
//! | `yuv420` | converts R G B to the planes that video encoders take: [`Yuv420`] |
//! | `pool` | buffers that are used again: [`Pool`] |

pub(crate) mod bicubic;
mod picture;
pub(crate) mod pool;
pub(crate) mod yuv420;

pub(crate) use picture::psnr;
pub use picture::{Picture, Rect, Size};
pub use pool::Pool;
pub use yuv420::{Yuv420, YuvConverter};
