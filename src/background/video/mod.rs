//! A background video -> what its header says, when its frames are shown, and the frames as upright R G B.
//!
//! | file | what it does |
//! | --- | --- |
//! | `file` | opens a video and reads its header: [`VideoFile`] |
//! | `reader` | decodes frames in order, and seeks: [`VideoReader`] |
//! | `frame_table` | lists the timestamps and key frames: [`FrameTable`] |
//! | `colour_tags` | reads matrix, range and transfer without trusting the file |
//! | `colour_space` | converts decoded frames to R G B (A) |
//! | `display_matrix` | rotates and mirrors frames upright |
//! | `planes` | copies the planes as they are stored, for `compare` |

mod colour_space;
mod colour_tags;
mod display_matrix;
mod file;
mod frame_table;
mod planes;
mod reader;

pub use file::VideoFile;
pub(crate) use frame_table::FrameTable;
pub(crate) use planes::{PlanarPicture, Plane};
pub(crate) use reader::VideoReader;
