//! A video file -> what it holds, and its pictures.

mod colours;
mod file;
mod index;
mod planes;
mod reader;
mod tags;
mod turn;

pub use file::VideoFile;
pub(crate) use index::Timeline;
pub(crate) use planes::{PlanarPicture, Plane};
pub(crate) use reader::VideoReader;
