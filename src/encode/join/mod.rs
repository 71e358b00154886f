//! The parts of a clip -> the clip: their video packets are copied, the audio is written as in an undivided render.
//!
//! - `part_file`: one part, opened
//! - `parts`: all of them, in order and checked
//! - `concat`: writes the clip

mod concat;
mod part_file;
mod parts;

pub(crate) use concat::{JoinSpec, join};
pub(crate) use part_file::PartFile;
pub(crate) use parts::Parts;
