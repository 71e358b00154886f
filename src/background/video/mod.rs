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
//! | `prepare`, `preparation` | decides what is done to frames of a background, and words it |
//! | `deinterlace`, `tone_map` | deinterlaces frames; converts HDR to BT.709 |
//! | `planes` | copies the planes as they are stored, for `compare` |

mod colour_space;
mod colour_tags;
mod deinterlace;
mod display_matrix;
mod file;
mod frame_table;
mod planes;
mod preparation;
mod prepare;
mod reader;
mod tone_map;

pub use file::VideoFile;
pub(crate) use file::video_stream;
pub(crate) use frame_table::FrameTable;
pub(crate) use planes::{PlanarPicture, Plane};
pub(crate) use reader::VideoReader;
pub(crate) use tone_map::picture_filters;
