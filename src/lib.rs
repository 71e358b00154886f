//! lipsync renders a talking presenter: audio and background frames in, a clip with a moving mouth out.
//!
//! The data flows one way, and each room (module) owns one step:
//!
//! ```text
//! speech.wav --audio--> samples --> mel frames --> 16x80 blocks --> embeddings --> windows [16, 512]
//!                                                                                      |
//! backgrounds/ --background--> frames + crop rectangles --face--> crops 328x328        |
//!                                     |                                |               |
//!                                     |                                +--inference <--+
//!                                     |                                      | mouth pictures 320x320
//!                                     +------------ face (paste) <-----------+
//!                                                        | composed frames
//!                                           encode (H.264 + AAC, or PNGs) --output--> clip.mp4
//! ```
//!
//! | room | what it does |
//! | --- | --- |
//! | [`cli`] | arguments in, messages and exit code out; the only room that draws on the terminal |
//! | [`plan`] | flags, environment, `lipsync.yaml` ([`config`]) and defaults -> a plan in which everything is decided |
//! | [`render`] | plan -> clip: loads networks, shares out memory, runs the stages side by side |
//! | [`audio`] | decoding, resampling, mel spectrogram, windows, voice activity |
//! | [`background`] | folders, stills and videos -> ordered frames with crop rectangles |
//! | [`face`] | crop -> network input; network output -> pasted mouth |
//! | [`inference`] | ONNX Runtime, graph rewriting, kernels |
//! | [`encode`] | video, audio, containers, the AI mark, parts of clips |
//! | [`output`] | output files that appear complete or not at all |
//! | [`image`], [`ffmpeg`], [`timeline`], [`error`], [`files`], [`mod@assets`], [`cancel`] | what the others share |
//! | [`batch`], [`mod@bench`] | many clips in one run; how fast each stage is |
//! | [`mod@compare`], [`inspect`], [`sync`], [`doctor`], [`draw`] | look at clips, files and the machine, and draw what they find |
//!
//! `docs/architecture.md` is a tour: which room may use which, what the words mean, where to look.
//!
//! Shapes, units and colour orders are documented at each type. The numbers are those of SyncTalk_2D's 328 model.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the front page is for readers of the source: cargo doc --document-private-items"
)]
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
mod files;
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

mod prepare;

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
