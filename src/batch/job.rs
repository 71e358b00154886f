//! A clip to make, and the line that says it.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::error::Fault;
use crate::plan::model::ModelFiles;
use crate::plan::{Plan, Request};

/// A clip to make.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its name in messages, events and reports; no two jobs of a run have the same.
    pub id: String,
    /// What is asked for. Outputs are relative to the output folder, and stay inside it.
    pub request: Request,
    /// Where it was asked for: a sound's path, or a line of a jobs file.
    pub source: String,
}

impl Job {
    /// A job; without an `id`, it is named after its output.
    pub(super) fn new(mut request: Request, id: Option<String>, source: String) -> Result<Self> {
        let Request {
            output,
            frames,
            contact_sheet,
            ..
        } = &mut request;
        for path in [output, frames, contact_sheet].into_iter().flatten() {
            // One place has one name: without `.` and double slashes.
            let parts = path.components().filter(|part| *part != Component::CurDir);
            *path = parts.collect();
        }
        let job = Self {
            id: id.unwrap_or_else(|| name_of(&request)),
            request,
            source,
        };
        for path in job.outputs() {
            let stays = path
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if !stays || path.as_os_str().is_empty() {
                return Err(Fault::usage(format!(
                    "output `{}` of {} does not lie in the output folder",
                    path.display(),
                    job.source
                ))
                .hint("outputs are relative to --output, without `..`")
                .into());
            }
        }
        Ok(job)
    }

    /// All that it writes, relative to the output folder.
    fn outputs(&self) -> impl Iterator<Item = &Path> {
        let Request {
            output,
            frames,
            contact_sheet,
            ..
        } = &self.request;
        let outputs = [output, frames, contact_sheet];
        outputs.into_iter().flatten().map(PathBuf::as_path)
    }

    /// What the folder `output` is to get of it.
    pub(crate) fn request_in(&self, output: &Path) -> Request {
        let mut request = self.request.clone();
        let inside = [
            &mut request.output,
            &mut request.frames,
            &mut request.contact_sheet,
        ];
        for path in inside.into_iter().flatten() {
            *path = output.join(&*path);
        }
        request.makes_folders = true;
        request
    }

    /// The line of a jobs file that asks for the same clip from any folder: every setting that shapes it, as `plan` has
    /// decided it.
    pub(crate) fn line(&self, plan: &Plan) -> Result<String> {
        let mut line = Map::new();
        line.insert("id".into(), self.id.as_str().into());
        line.insert("audio".into(), absolute(plan.sound.path())?);
        let Request {
            output,
            frames,
            contact_sheet,
            limit,
            ..
        } = &self.request;
        for (key, path) in [
            ("output", output),
            ("frames", frames),
            ("contact_sheet", contact_sheet),
        ] {
            if let Some(path) = path {
                line.insert(key.into(), utf_8(path)?.into());
            }
        }
        line.entry("frames").or_insert_with(|| plan.frames.into());
        line.insert("model".into(), model(&plan.model)?);
        line.insert("background".into(), absolute(&plan.background)?);
        if let Some(path) = &plan.crop_rects {
            line.insert("crop_rects".into(), absolute(path)?);
        }
        for (key, value) in plan.clip_settings() {
            line.insert(key.into(), value);
        }
        if let Some(limit) = limit {
            line.insert("limit".into(), json!(limit));
        }
        Ok(Value::Object(line).to_string())
    }
}

/// A clip without a name is called after what it writes, without the ending.
fn name_of(request: &Request) -> String {
    let path = match (&request.frames, &request.output, &request.contact_sheet) {
        (Some(frames), _, _) => frames.clone(),
        (None, Some(file), _) | (None, None, Some(file)) => file.with_extension(""),
        (None, None, None) => PathBuf::new(),
    };
    path.to_string_lossy().into_owned()
}

/// A path of the model that gives the same one; its name where only the configuration knows its files.
fn model(model: &ModelFiles) -> Result<Value> {
    let nowhere = || Err(anyhow::anyhow!("only paths are looked for"));
    let found = ModelFiles::find(&model.generator, nowhere, Vec::new).ok();
    let same =
        |found: ModelFiles| found.id == model.id && found.audio_encoder == model.audio_encoder;
    if found.is_some_and(same) {
        absolute(&model.generator)
    } else {
        Ok(model.id.as_str().into())
    }
}

fn absolute(path: &Path) -> Result<Value> {
    Ok(utf_8(&std::path::absolute(path)?)?.into())
}

/// JSON is text.
fn utf_8(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or_else(|| {
        Fault::failed(format!(
            "`{}` is not UTF-8, which jobs files are",
            path.display()
        ))
        .hint("rename the file")
    })?)
}

/// Fails if two jobs have one name or write one file. Those whose outputs differ in their ending alone are named after the
/// whole output.
pub(super) fn tell_apart(jobs: &mut [Job]) -> Result<()> {
    let mut writers: HashMap<&Path, &Job> = HashMap::new();
    for job in jobs.iter() {
        for path in job.outputs() {
            if let Some(other) = writers.insert(path, job) {
                return Err(Fault::usage(format!(
                    "two jobs have the output `{}`: {} and {}",
                    path.display(),
                    other.source,
                    job.source
                ))
                .hint("rename one of the sounds, or give each an `output` in a jobs file (docs/batch.md)")
                .into());
            }
        }
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for job in jobs.iter() {
        *counts.entry(job.id.clone()).or_default() += 1;
    }
    for job in jobs.iter_mut().filter(|job| counts[&job.id] > 1) {
        if let Some(output) = &job.request.output
            && job.id == name_of(&job.request)
        {
            job.id = output.to_string_lossy().into_owned();
        }
    }
    let mut names: HashMap<&str, &Job> = HashMap::new();
    for job in jobs.iter() {
        if let Some(other) = names.insert(&job.id, job) {
            return Err(Fault::usage(format!(
                "two jobs have the id `{}`: {} and {}",
                job.id, other.source, job.source
            ))
            .hint("give each job an id of its own, or none")
            .into());
        }
    }
    Ok(())
}
