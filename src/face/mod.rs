//! A background frame and its crop rectangle -> what the generator sees; the generator's picture -> the frame.

mod input;
mod paste;
mod rim;

pub use input::{CROP, INNER, INPUT_LEN, OUTPUT_LEN, crop, network_input};
pub(crate) use input::{MASK_COLUMNS, MASK_ROWS, RIM};
pub use paste::{Paste, Paster};
