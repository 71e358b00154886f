//! Many clips: what is typed or listed -> jobs -> clips in one output folder, of which nothing is lost.
//!
//! ```text
//! INPUT.. --inputs, jobs_file--> jobs --survey--> frames of each --shard--> this run's share
//!
//!              planner (contents: keys)        lane 1, lane 2, ..         journal, then in its place
//! share of jobs ---------------------> plans -------------------> clips -----------------------------> output folder
//!                                            networks of the stock
//! ```
//!
//! Each lane renders its clips one after the other as `lipsync render` does; all lanes use one stock of networks, so that
//! these have work while a clip starts or ends.

pub(crate) mod contents;
pub(crate) mod inputs;
pub(crate) mod job;
mod jobs_file;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod model_pool;
pub(crate) mod report;
pub(crate) mod shard;
pub(crate) mod survey;
pub(crate) mod workers;
