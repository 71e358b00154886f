//! A model folder or a single network: whether it loads, runs, and fits the renderer.
//!
//! - `metadata` reads what ONNX Runtime does not report from an ONNX file.
//! - `text` words the facts, `picture` draws them.

mod metadata;
mod picture;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::rounded;
use crate::assets;
use crate::config::model_yaml::ModelYaml;
use crate::error::{ErrorReport, Fault, plain_io};
use crate::inference::onnx::Runtime;
use crate::inference::onnx::probe::{Probe, TensorInfo, expected};
use metadata::Metadata;

/// The family whose contract is checked.
const FAMILY: &str = "synctalk-328";

/// The facts about a model.
#[derive(Debug, Serialize)]
pub(crate) struct ModelInfo {
    /// Its name in model.yaml.
    pub model_id: Option<String>,
    /// Its family in model.yaml.
    pub family: Option<String>,
    /// Its background folder in model.yaml.
    pub background: Option<String>,
    /// Whether the renderer can use the files: `fits synctalk-328`, `does not fit synctalk-328`.
    pub contract: String,
    /// The networks in the order of their file names.
    pub networks: Vec<NetworkInfo>,
}

/// The facts about one network.
#[derive(Debug, Serialize)]
pub(crate) struct NetworkInfo {
    /// File name.
    pub file: String,
    /// What the renderer can use it as: `audio encoder`, `generator`, or none.
    pub role: Option<&'static str>,
    /// File size in MB (10^6 bytes).
    pub megabytes: f64,
    /// The program that exported it.
    pub producer: String,
    /// Opset version; 0 if the file does not say.
    pub opset: u64,
    /// Number of nodes in its graph.
    pub nodes: usize,
    /// Number of weights of each type.
    pub weights: BTreeMap<&'static str, u64>,
    /// The type of most weights; of the first input if there are no weights.
    pub precision: String,
    /// Its inputs; -1 stands for a free axis.
    pub inputs: Vec<TensorInfo>,
    /// Its outputs.
    pub outputs: Vec<TensorInfo>,
    /// The fixed batch size; none if it is free.
    pub fixed_batch: Option<i64>,
    /// Duration of one run on zeros on the CPU, in milliseconds; none if it does not run.
    pub run_ms: Option<f64>,
    /// Memory for loading and running, in MB, roughly; none if the system does not report it.
    pub memory_mb: Option<f64>,
}

impl ModelInfo {
    pub(super) fn of(path: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let runtime = Runtime::load(&assets::runtime_library()?)?;
        let is_single_file = path.is_file();
        let files = if is_single_file {
            vec![path.to_owned()]
        } else {
            list_networks(path)?
        };
        let mut networks = Vec::new();
        for file in &files {
            match NetworkInfo::of(&runtime, file, warnings) {
                Ok(network) => networks.push(network),
                Err(error) if is_single_file => return Err(error),
                Err(error) => warnings.push(format!("{error:#}")),
            }
        }
        let folder = if is_single_file {
            path.parent().unwrap_or(Path::new(""))
        } else {
            path
        };
        let description = read_description(&folder.join("model.yaml"), warnings);
        let family = description.family.map(|family| family.value);
        if let Some(family) = family.as_ref().filter(|family| *family != FAMILY) {
            warnings.push(format!(
                "model.yaml has the family `{family}`, but this version renders `{FAMILY}`"
            ));
        }
        Ok(Self {
            model_id: description.model_id,
            family,
            background: description.background,
            contract: check_contract(&networks, is_single_file, warnings),
            networks,
        })
    }

    pub(super) fn draw(&self, path: &str, warnings: &[String]) -> RgbImage {
        picture::draw(self, path, warnings)
    }
}

impl NetworkInfo {
    fn of(runtime: &Runtime, path: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| {
            Fault::failed(format!("cannot read network `{}`", path.display())).because(plain_io(&e))
        })?;
        let (megabytes, metadata) = (bytes.len() as f64 / 1e6, Metadata::read(&bytes));
        drop(bytes);
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let before = resident_megabytes();
        let mut probe = Probe::load(runtime, path, threads.get())?;
        let run = probe.run_on_zeros();
        let used = before.zip(resident_megabytes());
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if let Err(error) = &run {
            warnings.push(format!("`{file}` does not run: {error:#}"));
        }
        let usual = metadata.weights.iter().max_by_key(|(_, count)| **count);
        let precision = usual.map(|(dtype, _)| (*dtype).to_owned());
        let input = probe.inputs.first().map(|input| input.dtype.clone());
        Ok(Self {
            role: probe.role(),
            megabytes: rounded(megabytes),
            producer: metadata.producer,
            opset: metadata.opset,
            nodes: metadata.nodes,
            precision: precision.or(input).unwrap_or_else(|| "unknown".into()),
            weights: metadata.weights,
            fixed_batch: probe.fixed_batch(),
            inputs: probe.inputs,
            outputs: probe.outputs,
            run_ms: run.ok().map(|took| rounded(took.as_secs_f64() * 1e3)),
            memory_mb: used.map(|(before, after)| (after - before).max(0.0).round()),
            file: file.into_owned(),
        })
    }
}

/// The `.onnx` files of a folder in the order of their names.
fn list_networks(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| {
        Fault::failed(format!("cannot inspect `{}`", folder.display())).because(plain_io(&e))
    })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The description of a model; empty if there is none, or if it cannot be read.
fn read_description(path: &Path, warnings: &mut Vec<String>) -> ModelYaml {
    ModelYaml::read(path).unwrap_or_else(|error| {
        let report = ErrorReport::of(&error);
        let line = report.line();
        warnings.push(match report.hint {
            Some(hint) => format!("{line}; {hint}"),
            None => line,
        });
        ModelYaml::default()
    })
}

/// Whether the networks fit the renderer; what does not fit becomes a warning.
fn check_contract(
    networks: &[NetworkInfo],
    is_single_file: bool,
    warnings: &mut Vec<String>,
) -> String {
    if let ([network], true) = (networks, is_single_file) {
        if let Some(role) = network.role {
            return format!("fits {FAMILY} as {role}");
        }
        for role in ["audio encoder", "generator"] {
            warnings.push(format!(
                "`{}` cannot be used as the {role}: expected {}",
                network.file,
                expected(role)
            ));
        }
        return format!("does not fit {FAMILY}");
    }
    let mut fits = true;
    for (file, role) in [
        ("audio_encoder.onnx", "audio encoder"),
        ("generator.onnx", "generator"),
    ] {
        let network = networks.iter().find(|network| network.file == file);
        if network.is_some_and(|network| network.role == Some(role)) {
            continue;
        }
        fits = false;
        warnings.push(match network {
            None => format!("`{file}` is missing or cannot be loaded"),
            Some(_) => format!(
                "`{file}` cannot be used as the {role}: expected {}",
                expected(role)
            ),
        });
    }
    if fits {
        format!("fits {FAMILY}")
    } else {
        format!("does not fit {FAMILY}")
    }
}

/// Resident memory of this process, in MB; none if the system does not report it.
fn resident_megabytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1e3)
}
