//! `lipsync.yaml`: its schema, where it is found, what it may say, and errors with line and column.

pub(crate) mod file;
pub(crate) mod yaml;
