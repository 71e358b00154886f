//! Configuration: what files say, before flags, environment and defaults are applied (that is the room `plan`).
//!
//! A path or a folder comes in; typed values go out, each with its line. A mistake is an error with line, column, the line itself
//! and the nearest valid key.
//!
//! | file | what it does |
//! | --- | --- |
//! | `file` | `lipsync.yaml`: its keys and values |
//! | `discovery` | where `lipsync.yaml` is found |
//! | `expansion` | `~` and `${VAR}` in its paths |
//! | `model_yaml` | `model.yaml`, the description in a model's folder |
//! | `settings` | settings that `lipsync.yaml` and jobs files share |
//! | `yaml` | the reader that these, and jobs files, share |

mod discovery;
mod expansion;
pub(crate) mod file;
pub(crate) mod model_yaml;
mod settings;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;
