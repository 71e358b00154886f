//! A background and its crop rectangle -> the generator's input; the generator's output -> the finished frame. Also: a
//! picture -> the faces in it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `detection` | writes the face detector's input, and reads its output |
//! | `landmarks` | the same for the landmark network, which finds 468 points of a face |
//! | `tracker` | follows a face from frame to frame with both networks: [`Tracker`] |
//! | `measures` | where a face is, where it looks, how far its mouth is open: [`FaceMeasures`] |
//! | `input` | crops the face, resizes it to 328x328, and writes the network input |
//! | `paste` | pastes the generator's picture back into the frame: [`Paster`] |
//! | `colour_error` | measures the generator's colour error around the mask, and removes it |

mod colour_error;
mod detection;
mod input;
pub(crate) mod landmarks;
mod measures;
mod paste;
mod tracker;

pub(crate) use detection::DETECTOR_SIDE;
pub(crate) use input::{BORDER, MASK_COLUMNS, MASK_ROWS};
pub use input::{CROP, INNER, INPUT_LEN, OUTPUT_LEN, crop, network_input};
pub(crate) use landmarks::{LANDMARK_SIDE, Landmarks};
pub(crate) use measures::FaceMeasures;
pub use paste::{Paste, Paster};
pub(crate) use tracker::{FaceNetworks, Tracker};
