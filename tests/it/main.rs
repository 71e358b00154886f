//! Runs the program as its users do, with real networks, real files and the real FFmpeg.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "tests fail by panicking and compare to the bit"
)]

mod backgrounds;
mod batch;
mod bench;
mod clip;
mod codecs;
mod compare;
mod completions;
#[cfg(feature = "credentials")]
mod credentials;
mod doctor;
mod errors;
mod faults;
mod golden;
mod hostile;
mod inspect;
mod joined_sounds;
mod networks;
mod outputs;
mod parts;
mod picture_kinds;
mod pipes;
mod precision;
mod prepare;
mod presenter;
mod render;
mod sounds;
mod support;
mod tracks;
mod video_kinds;
mod watchdog;
#[cfg(ffmpeg_on_demand)]
mod without_ffmpeg;
