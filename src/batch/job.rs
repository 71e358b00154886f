//! A clip to render, and its line in a jobs file.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::path_json;
use crate::error::Fault;
use crate::plan::model::ModelFiles;
use crate::plan::{Plan, Request};

/// A clip to render.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its name in messages, events and reports; unique in a run.
    pub id: String,
    /// Its settings. Outputs are relative to the output folder, and stay inside it.
    pub request: Request,
    /// Where it comes from: the path of an audio file, or a line of a jobs file.
    pub source: String,
    /// Why there is nothing to render.
    pub obstacle: Option<Obstacle>,
}

/// An entry of an input folder that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Obstacle {
    /// Its path.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub cause: String,
    /// What the user can do about it.
    pub hint: &'static str,
}

impl Obstacle {
    /// The error.
    pub(crate) fn fault(&self) -> Fault {
        Fault::failed(format!("cannot read `{}`", self.path.display()))
            .because(self.cause.as_str())
            .hint(self.hint)
    }
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
            // Without `.` and double slashes, equal paths are equal text.
            let components = path.components().filter(|part| *part != Component::CurDir);
            *path = components.collect();
        }
        let job = Self {
            id: id.unwrap_or_else(|| default_id(&request)),
            request,
            source,
            obstacle: None,
        };
        for path in job.outputs() {
            let stays_inside = path
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if !stays_inside || path.as_os_str().is_empty() {
                return Err(Fault::usage(format!(
                    "output `{}` of {} is outside the output folder",
                    path.display(),
                    job.source
                ))
                .hint("outputs are paths relative to --output, without `..`")
                .into());
            }
        }
        Ok(job)
    }

    /// A job that fails: an entry of an input folder, found at `inside` in it.
    pub(super) fn unreadable(inside: &Path, obstacle: Obstacle) -> Self {
        Self {
            id: path_json::escaped(inside),
            request: Request::default(),
            source: format!("`{}`", obstacle.path.display()),
            obstacle: Some(obstacle),
        }
    }

    /// Everything that it writes, relative to the output folder.
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

    /// Its settings, with outputs in the folder `output`.
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

    /// A line of a jobs file for the same clip, valid in any folder: every setting that changes it, as decided by `plan`.
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

/// A job without an id is named after its output, without the extension.
fn default_id(request: &Request) -> String {
    let path = match (&request.frames, &request.output, &request.contact_sheet) {
        (Some(frames), _, _) => frames.clone(),
        (None, Some(file), _) | (None, None, Some(file)) => file.with_extension(""),
        (None, None, None) => PathBuf::new(),
    };
    path_json::escaped(&path)
}

/// A path that leads to the same model; its name, if only the configuration knows its files.
fn model(model: &ModelFiles) -> Result<Value> {
    let nowhere = || Err(anyhow::anyhow!("only paths are searched"));
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

/// JSON cannot hold other paths.
fn utf_8(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or_else(|| {
        Fault::failed(format!(
            "`{}` is not UTF-8, as jobs files must be",
            path.display()
        ))
        .hint("rename the file")
    })?)
}

/// Fails if two jobs have the same id or output. Jobs whose outputs differ only in the extension get the whole output as id.
pub(super) fn make_unique(jobs: &mut [Job]) -> Result<()> {
    let mut writers: HashMap<&Path, &Job> = HashMap::new();
    for job in jobs.iter() {
        for path in job.outputs() {
            if let Some(other) = writers.insert(path, job) {
                return Err(Fault::usage(format!(
                    "two jobs write the same output `{}`: {} and {}",
                    path.display(),
                    other.source,
                    job.source
                ))
                .hint("rename one of the audio files, or set an `output` for each in a jobs file (docs/batch.md)")
                .into());
            }
        }
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for job in jobs.iter() {
        *counts.entry(job.id.clone()).or_default() += 1;
    }
    // The ids of clips do not depend on entries that cannot be read.
    for job in jobs.iter_mut() {
        let count = counts.get_mut(&job.id);
        if let Some((obstacle, count)) = job.obstacle.as_ref().zip(count)
            && *count > 1
        {
            *count -= 1;
            job.id = path_json::escaped(&obstacle.path);
        }
    }
    for job in jobs
        .iter_mut()
        .filter(|job| counts.get(&job.id).is_some_and(|count| *count > 1))
    {
        if let Some(output) = &job.request.output
            && job.id == default_id(&job.request)
        {
            job.id = path_json::escaped(output);
        }
    }
    let mut ids: HashMap<&str, &Job> = HashMap::new();
    for job in jobs.iter() {
        if let Some(other) = ids.insert(&job.id, job) {
            return Err(Fault::usage(format!(
                "two jobs have the id `{}`: {} and {}",
                job.id, other.source, job.source
            ))
            .hint("give each job a unique id, or none")
            .into());
        }
    }
    Ok(())
}
