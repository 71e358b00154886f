//! A background and its crop rectangle -> the generator's input; the generator's output -> the finished frame.
//!
//! | file | what it does |
//! | --- | --- |
//! | `input` | crops the face, resizes it to 328x328, and writes the network input |
//! | `paste` | pastes the generator's picture back into the frame: [`Paster`] |
//! | `colour_error` | measures the generator's colour error around the mask, and removes it |

mod colour_error;
mod input;
mod paste;

pub(crate) use input::{BORDER, MASK_COLUMNS, MASK_ROWS};
pub use input::{CROP, INNER, INPUT_LEN, OUTPUT_LEN, crop, network_input};
pub use paste::{Paste, Paster};
