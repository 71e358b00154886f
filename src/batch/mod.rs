//! Many clips in one run: inputs -> jobs -> clips in an output folder. A run can be killed at any moment and resumed.
//!
//! ```text
//! INPUT.. --inputs, jobs_file--> jobs --survey--> frames of each job --shard--> the jobs of this run
//!
//!       planner (contents: digests)         worker 1, worker 2, ..     journal, then published
//! jobs ---------------------------> plans ------------------------> clips --------------------> output folder
//!                                          models from model_pool
//! ```
//!
//! Each worker renders one clip after the other, as `lipsync render` does. All workers share the loaded models, so that these
//! stay busy while a clip starts or ends.
//!
//! | file | what it does |
//! | --- | --- |
//! | `job` | a clip to render, and its line in a jobs file |
//! | `inputs` | folders, audio files and jobs files -> jobs |
//! | `path_json` | paths in JSON, whatever bytes they have |
//! | `jobs_file` | YAML and JSON lines with one job each |
//! | `survey` | inspects all jobs before the first one is rendered |
//! | `shard` | the share of one run, if several runs share the jobs |
//! | `planner` | job -> plan: skips what is finished, protects files of others |
//! | `files` | what a run reads and writes |
//! | `contents` | a digest of everything that determines a clip |
//! | `journal` | which clips are finished, on disk in the output folder |
//! | `lock` | one run per output folder |
//! | `model_pool` | loaded models and decoded pictures, within the memory limit |
//! | `workers` | threads that plan and render, and the events they report |
//! | `report` | the JSON of `batch --report` |

pub(crate) mod contents;
pub(crate) mod files;
pub(crate) mod inputs;
pub(crate) mod job;
mod jobs_file;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod model_pool;
mod path_json;
pub(crate) mod planner;
pub(crate) mod report;
pub(crate) mod shard;
pub(crate) mod survey;
pub(crate) mod workers;
