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
//! - `target`: what can be written where; [`Target::check`] fails before any work is done
//! - `staged`: [`StagedOutput`], written under a hidden name next to the target and renamed last
//! - `hidden_name`: that name, `.NAME.PID.part`
//! - `cleanup`: removes what killed runs left behind
//! - [`fingerprint`]: digests of files and settings

mod cleanup;
pub(crate) mod fingerprint;
mod hidden_name;
mod staged;
mod target;

pub use cleanup::remove_abandoned;
pub use staged::StagedOutput;
pub use target::{OutputKind, Target};
