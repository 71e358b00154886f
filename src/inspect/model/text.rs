//! The facts about a model in words.

use super::super::Row;
use super::{ModelInfo, NetworkInfo};
use crate::inference::onnx::probe::TensorInfo;

impl ModelInfo {
    /// Three rows about the model, then those of each network.
    pub(in crate::inspect) fn rows(&self) -> Vec<Row> {
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
}

impl NetworkInfo {
    fn rows(&self) -> Vec<Row> {
        let tensors = |tensors: &[TensorInfo]| {
            let words: Vec<String> = tensors.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        let role = self.role.unwrap_or("not used by the renderer");
        vec![
            ("network", format!("{}: {role}", self.file)),
            ("  inputs", tensors(&self.inputs)),
            ("  outputs", tensors(&self.outputs)),
            ("  batch", self.batch()),
            ("  file", self.file_words()),
            ("  run", format!("{}, {}", self.speed(), self.memory())),
        ]
    }

    pub(super) fn batch(&self) -> String {
        match self.fixed_batch {
            Some(batch) => format!("fixed at {batch}"),
            None => "any".into(),
        }
    }

    fn file_words(&self) -> String {
        let producer = if self.producer.is_empty() {
            "an unknown program"
        } else {
            &self.producer
        };
        format!(
            "{:.1} MB, {:.2} million {} weights, {} nodes, opset {}, exported by {producer}",
            self.megabytes,
            self.million_weights(),
            self.precision,
            self.nodes,
            self.opset
        )
    }

    fn million_weights(&self) -> f64 {
        self.weights.values().sum::<u64>() as f64 / 1e6
    }

    pub(super) fn speed(&self) -> String {
        match self.run_ms {
            Some(ms) => format!("{ms:.1} ms on the CPU (zeros as input)"),
            None => "does not run".into(),
        }
    }

    pub(super) fn memory(&self) -> String {
        match self.memory_mb {
            Some(mb) => format!("about {mb:.0} MB of memory"),
            None => "memory unknown".into(),
        }
    }
}
