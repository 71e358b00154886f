//! Background pictures with their crop rectangles, from a folder or a video: checked as a whole, then decoded as needed.

mod backgrounds;
mod cache;
pub(crate) mod crop_rects;
mod decoded;
pub(crate) mod folder;
mod footage;
pub(crate) mod order;
mod pairing;
mod sequence;
mod still;
pub(crate) mod video;

pub use backgrounds::Backgrounds;
pub use cache::BackgroundCache;
pub use crop_rects::read as read_crop_rects;
pub use decoded::{Background, FrameFormats};
pub use order::Order;
pub(crate) use pairing::inside;
pub(crate) use still::load_picture;
pub use video::VideoFile;
