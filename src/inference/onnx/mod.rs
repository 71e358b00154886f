//! The networks on ONNX Runtime.
//!
//! A generator's file becomes running generators in these steps:
//!
//! 1. `network_file` reads the file, with weights that are in others. `loader` starts a session, on the CPU or a GPU; what
//!    ONNX Runtime says about it is put into words by `ort_message`. `network` checks that it takes and gives what its
//!    role (`roles`) asks for, and runs batches.
//! 2. `prepare` looks up the generator's `parts` on disk (`parts_cache`). If they are not there, `tuner` rewrites the file
//!    (`generator_file`) with [`crate::inference::graph`] and verifies the result against the file's own output
//!    (`reference`); `int8` does so in eight bits, with calibration samples. For a GPU, `gpu` takes the place of
//!    `prepare`: half precision, bytes in and out.
//! 3. `generator` starts one session per thread or GPU. In a `split_generator`, what depends on the background alone is
//!    computed once and cached (`feature_cache`); `sub_model` and `operators` connect fused blocks with
//!    [`crate::inference::kernel`].
//! 4. `networks` holds both networks of a model, the generators and the `audio_encoder`.
//!
//! `finite` notices values that are not finite.
//!
//! `runtime` is the library itself, and `arena` its memory. `device` says where networks should run and where they do;
//! `cuda` and `cuda_unavailable` find out whether a GPU can be used, `assignment` what runs on it. `baseline` runs a
//! generator without all of this, to measure against; `probe` runs any network. `face_networks` find faces and their
//! landmarks.

mod arena;
mod assignment;
mod audio_encoder;
mod baseline;
pub(crate) mod cuda;
mod cuda_unavailable;
mod device;
mod face_networks;
mod feature_cache;
mod finite;
mod generator;
mod generator_file;
mod gpu;
mod int8;
mod loader;
mod network;
mod network_file;
mod networks;
mod operators;
mod ort_message;
mod parts;
mod parts_cache;
mod prepare;
pub(crate) mod probe;
mod reference;
mod roles;
mod runtime;
mod split_generator;
mod sub_model;
mod tuner;

pub(crate) use audio_encoder::OnnxAudioEncoder;
pub use baseline::BaselineGenerator;
#[cfg(test)]
pub(crate) use cuda_unavailable::CudaUnavailable;
#[cfg(test)]
pub(crate) use device::Gpu;
pub use device::Hardware;
pub(crate) use device::{Device, Placement};
pub(crate) use face_networks::OnnxFaceNetworks;
pub use feature_cache::FeatureLimits;
pub(crate) use generator::OnnxGenerator;
pub use networks::Networks;
pub(crate) use networks::SharedFeatures;
pub use prepare::TuneOptions;
pub use runtime::Runtime;
