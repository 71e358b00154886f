//! lipsync renders a talking presenter: speech and background frames in, a clip with a moving mouth out.
//!
//! The way of the data, and the module of each step:
//!
//! ```text
//! speech.wav --audio--> samples --mel--> mel frames --window--> blocks --infer--> embeddings --window--> windows
//!                                   (all of it streamed by `listen`)                                        |
//! backgrounds/ --background, crop_rects, order--> frames --bicubic, face--> crops                           |
//!                                                    |                            |                         |
//!                                                    |                            +--------- infer <--------+
//!                                                    |                                         |
//!                                                    +---------------- face (paste) <----------+
//!                                                                           | composed
//!                                                                  encode (clip, png) --output--> the clip
//! ```
//!
//! [`pipeline`] runs the steps side by side; [`config`] decides everything before it starts; [`render`] makes one clip, and [`batch`] keeps many clips
//! going; [`cli`] talks to people.
//! [`budget`] shares out cores and memory; `graph` rewrites the generator before it runs, which [`samples`] of the presenter
//! are for, and [`kernel`] computes what it makes one node of; [`yuv420`] holds pictures as encoders want them.
//! [`part`] cuts long clips, [`activity`] tells where the mouth may rest, [`video`] reads backgrounds out of a video, [`report`] and
//! [`preview`] show what came out; [`compare`] says whether that is what was expected, [`sync`] whether mouth and sound agree.
//! [`inspect`] and [`doctor`] look at files and at the machine, without a render; [`mod@bench`] measures one;
//! [`draw`] makes pictures.
//! Shapes, units and colour orders stand at each type. The numbers are the contract of SyncTalk_2D's 328 model.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::float_cmp,
        reason = "tests fail by panicking and compare to the bit"
    )
)]

mod assets;
mod cancel;
pub mod error;
pub mod timeline;

mod ffmpeg;
pub mod output;

pub mod image;

pub mod audio;
pub mod face;

pub mod background;
pub mod inference;

pub mod encode;

mod draw;
mod sync;

mod config;
mod plan;

pub mod render;

mod batch;
mod bench;
mod compare;
mod doctor;
mod inspect;

mod cli;

pub use assets::{home, runtime_library};
pub use cancel::Cancel;
pub use cli::main;
pub use config::file::ConfigFile;
