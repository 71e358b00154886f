//! Outputs appear complete or not at all.
//!
//! In comes a [`Target`]: a path, what is written there, and whether an existing output may be replaced. Out comes the
//! finished file or folder under that path. In between, an output has three states:
//!
//! ```text
//! Target --check--> Target --begin--> StagedOutput --commit--> the output under its name
//!                                          |
//!                                          +-------drop------> nothing
//! ```
//!
//! Reports and pictures may also go to stdout, a pipe or a device: [`Target::save`] does either.
//!
//! - `target`: what can be written where; [`Target::check`] fails before any work is done
//! - `kind`: kinds of outputs
//! - `run_files`: [`RunFiles`], which fails if a run would write two outputs, or an output and an input, to one file
//! - `place`: what a path leads to: a file or a stream, with links followed
//! - `staged`: [`StagedOutput`], written under a hidden name next to the target and renamed last
//! - `moves`: that rename, on file systems of all kinds
//! - `stream`: writes to pipes and devices
//! - `hidden_name`: the hidden name, `.NAME.lipsync-RANDOM.part`
//! - `cleanup`: removes what killed runs left behind
//! - [`fingerprint`]: digests of files and settings

mod cleanup;
pub(crate) mod fingerprint;
mod hidden_name;
mod kind;
mod moves;
mod place;
mod run_files;
mod staged;
mod stream;
mod target;

pub use cleanup::remove_abandoned;
pub use kind::OutputKind;
pub use run_files::RunFiles;
pub use staged::StagedOutput;
pub use target::Target;

#[cfg(test)]
mod tests;
