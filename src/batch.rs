//! Many clips: what is typed or listed -> jobs -> clips in one output folder, of which nothing is lost.
//!
//! ```text
//! INPUT.. --inputs, jobs_file--> jobs --survey--> frames of each --shard--> this run's share
//! ```

pub mod inputs;
pub mod job;
mod jobs_file;
pub mod shard;
pub mod survey;
