//! The program as its users meet it, on real networks, real files and real FFmpeg.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests fail by panicking and compare to the bit"
)]

mod clip;
#[cfg(feature = "credentials")]
mod credentials;
mod errors;
mod golden;
mod presenter;
mod sounds;
mod support;
