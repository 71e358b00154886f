//! A model or a single network: whether it loads, runs, and fits what the renderer feeds it.

mod graph;
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::{Row, rounded};
use crate::assets;
use crate::config::model_yaml::ModelYaml;
use crate::error::{Fault, Report, plain_io};
use crate::inference::onnx::Runtime;
use crate::inference::onnx::probe::{Probe, TensorInfo, expected};
use graph::Graph;

/// The family whose contract is checked.
const FAMILY: &str = "synctalk-328";

/// What was found in a model's files.
#[derive(Debug, Serialize)]
pub(crate) struct ModelSurvey {
    /// Its name, from model.yaml.
    pub model_id: Option<String>,
    /// Its family, from model.yaml.
    pub family: Option<String>,
    /// Its background folder, from model.yaml.
    pub background: Option<String>,
    /// Whether the files can be rendered with: `fits synctalk-328`, or what is off.
    pub contract: String,
    /// The networks, in the order of their names.
    pub networks: Vec<NetworkSurvey>,
}

/// What was found in one network.
#[derive(Debug, Serialize)]
pub(crate) struct NetworkSurvey {
    /// The file's name.
    pub file: String,
    /// What it can serve as: `audio encoder`, `generator`, or none.
    pub role: Option<&'static str>,
    /// Size of the file in MB (10^6 bytes).
    pub megabytes: f64,
    /// The program that wrote it.
    pub producer: String,
    /// Version of its operator set; 0 where the file does not say.
    pub opset: u64,
    /// Nodes of its graph.
    pub nodes: usize,
    /// Weights of each type and how many numbers there are of it.
    pub weights: BTreeMap<&'static str, u64>,
    /// The type that most weights have; of the first input where there are none.
    pub precision: String,
    /// What it takes; -1 stands for a free axis.
    pub inputs: Vec<TensorInfo>,
    /// What it gives.
    pub outputs: Vec<TensorInfo>,
    /// The batch size that the file insists on; none where it is free.
    pub fixed_batch: Option<i64>,
    /// Milliseconds of one run on zeros on the CPU; none where it does not run.
    pub run_ms: Option<f64>,
    /// Memory that loading and running took, in MB, where the system tells; roughly.
    pub memory_mb: Option<f64>,
}

impl ModelSurvey {
    pub(super) fn of(path: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let runtime = Runtime::load(&assets::runtime_library()?)?;
        let alone = path.is_file();
        let files = if alone {
            vec![path.to_owned()]
        } else {
            networks_in(path)?
        };
        let mut networks = Vec::new();
        for file in &files {
            match NetworkSurvey::of(&runtime, file, warnings) {
                Ok(network) => networks.push(network),
                Err(error) if alone => return Err(error),
                Err(error) => warnings.push(format!("{error:#}")),
            }
        }
        let folder = if alone {
            path.parent().unwrap_or(Path::new(""))
        } else {
            path
        };
        let description = read_description(&folder.join("model.yaml"), warnings);
        let family = description.family.map(|family| family.value);
        if let Some(family) = family.as_ref().filter(|family| *family != FAMILY) {
            warnings.push(format!(
                "model.yaml says the family `{family}`; this version renders `{FAMILY}`"
            ));
        }
        Ok(Self {
            model_id: description.model_id,
            family,
            background: description.background,
            contract: contract(&networks, alone, warnings),
            networks,
        })
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".into());
        let mut rows = vec![
            ("model_id", or_none(&self.model_id)),
            ("family", or_none(&self.family)),
            ("contract", self.contract.clone()),
        ];
        for network in &self.networks {
            rows.extend(network.rows());
        }
        rows
    }

    pub(super) fn draw(&self, path: &str, warnings: &[String]) -> RgbImage {
        picture::draw(self, path, warnings)
    }
}

impl NetworkSurvey {
    fn of(runtime: &Runtime, path: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| {
            Fault::failed(format!("cannot read network `{}`", path.display())).because(plain_io(&e))
        })?;
        let (megabytes, graph) = (bytes.len() as f64 / 1e6, Graph::read(&bytes));
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
        let most = graph.weights.iter().max_by_key(|(_, count)| **count);
        let precision = most.map(|(kind, _)| (*kind).to_owned());
        let input = probe.inputs.first().map(|input| input.dtype.clone());
        Ok(Self {
            role: probe.role(),
            megabytes: rounded(megabytes),
            producer: graph.producer,
            opset: graph.opset,
            nodes: graph.nodes,
            precision: precision.or(input).unwrap_or_else(|| "unknown".into()),
            weights: graph.weights,
            fixed_batch: probe.fixed_batch(),
            inputs: probe.inputs,
            outputs: probe.outputs,
            run_ms: run.ok().map(|took| rounded(took.as_secs_f64() * 1e3)),
            memory_mb: used.map(|(before, after)| (after - before).max(0.0).round()),
            file: file.into_owned(),
        })
    }

    fn rows(&self) -> Vec<Row> {
        let tensors = |tensors: &[TensorInfo]| {
            let words: Vec<String> = tensors.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        vec![
            ("network", self.title()),
            ("  inputs", tensors(&self.inputs)),
            ("  outputs", tensors(&self.outputs)),
            ("  batch", self.batch()),
            ("  file", self.about_file()),
            ("  run", format!("{}, {}", self.speed(), self.memory())),
        ]
    }

    fn title(&self) -> String {
        match self.role {
            Some(role) => format!("{}: {role}", self.file),
            None => format!("{}: no part of this renderer", self.file),
        }
    }

    fn batch(&self) -> String {
        match self.fixed_batch {
            Some(batch) => format!("fixed: {batch} at a time"),
            None => "free".into(),
        }
    }

    fn about_file(&self) -> String {
        let count: u64 = self.weights.values().sum();
        let producer = if self.producer.is_empty() {
            "an unnamed program"
        } else {
            &self.producer
        };
        format!(
            "{:.1} MB, {:.2} million weights in {}, {} nodes, opset {}, written by {producer}",
            self.megabytes,
            count as f64 / 1e6,
            self.precision,
            self.nodes,
            self.opset
        )
    }

    fn speed(&self) -> String {
        match self.run_ms {
            Some(ms) => format!("{ms:.1} ms on zeros on the CPU"),
            None => "it does not run".into(),
        }
    }

    fn memory(&self) -> String {
        match self.memory_mb {
            Some(mb) => format!("about {mb:.0} MB of memory"),
            None => "memory not known".into(),
        }
    }
}

/// The `.onnx` files of a folder in the order of their names.
fn networks_in(folder: &Path) -> Result<Vec<PathBuf>> {
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
        let report = Report::of(&error);
        let line = report.line();
        warnings.push(match report.hint {
            Some(hint) => format!("{line}; {hint}"),
            None => line,
        });
        ModelYaml::default()
    })
}

/// Whether the networks make a model; what is off becomes a warning.
fn contract(networks: &[NetworkSurvey], alone: bool, warnings: &mut Vec<String>) -> String {
    if let ([network], true) = (networks, alone) {
        if let Some(role) = network.role {
            return format!("fits {FAMILY} as {role}");
        }
        for role in ["audio encoder", "generator"] {
            warnings.push(format!(
                "`{}` cannot serve as {role}: expected {}",
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
                "`{file}` cannot serve as {role}: expected {}",
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

/// Memory of this process, in MB, where the system tells.
fn resident_megabytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1e3)
}
