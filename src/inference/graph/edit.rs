//! Reading and changing a graph: who makes a tensor, who uses it, what is constant.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;

use super::proto::{
    Attribute, Dim, Graph, Model, Node, Shape, Tensor, TensorType, Type, ValueInfo,
};
use super::proto::{dtype, kind};

/// Shapes of tensors by name: all static.
pub(crate) type Shapes = HashMap<String, Vec<i64>>;

impl Model {
    /// Reads a model.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let model = Self::decode(bytes).context("not an ONNX model")?;
        let graph = model.graph.as_ref().context("a model without a graph")?;
        let nested = |a: &Attribute| a.graph.is_some() || !a.graphs.is_empty();
        ensure!(
            !graph.nodes.iter().any(|n| n.attributes.iter().any(nested)),
            "it has branches or loops"
        );
        Ok(model)
    }

    /// The graph, which [`Model::parse`] made sure of.
    pub(crate) fn graph(&self) -> Result<&Graph> {
        self.graph.as_ref().context("a model without a graph")
    }

    /// The same, to be changed.
    pub(crate) fn graph_mut(&mut self) -> Result<&mut Graph> {
        self.graph.as_mut().context("a model without a graph")
    }

    /// The model with another graph.
    pub(crate) fn with(&self, graph: Graph) -> Self {
        Self {
            graph: Some(graph),
            ir_version: self.ir_version,
            producer: self.producer.clone(),
            opsets: self.opsets.clone(),
        }
    }
}

impl Graph {
    /// Which node makes each tensor.
    pub(crate) fn makers(&self) -> HashMap<&str, usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .flat_map(|(at, node)| node.outputs.iter().map(move |name| (name.as_str(), at)))
            .collect()
    }

    /// Which nodes use each tensor, each as often as it does.
    pub(crate) fn users(&self) -> HashMap<&str, Vec<usize>> {
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                users.entry(name).or_default().push(at);
            }
        }
        users
    }

    /// The constant of this name.
    pub(crate) fn constant(&self, name: &str) -> Option<&Tensor> {
        self.constants.iter().find(|tensor| tensor.name == name)
    }

    /// Whether the graph gives this tensor.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.outputs.iter().any(|output| output.name == name)
    }

    /// Names of what it takes.
    pub(crate) fn input_names(&self) -> Vec<&str> {
        let inputs = self.inputs.iter();
        inputs.map(|input| input.name.as_str()).collect()
    }

    /// The shape of an input, if it is known.
    pub(crate) fn input_shape(&self, name: &str) -> Option<Vec<i64>> {
        let input = self.inputs.iter().find(|input| input.name == name)?;
        let shape = input.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
        shape.dims.iter().map(|dim| dim.size).collect()
    }

    /// The symbols of its inputs' first axes, where any size will do.
    pub(crate) fn batch_symbols(&self) -> Vec<String> {
        let first = |input: &ValueInfo| {
            let shape = input.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
            shape.dims.first()?.symbol.clone()
        };
        let mut symbols: Vec<String> = self.inputs.iter().filter_map(first).collect();
        symbols.sort();
        symbols.dedup();
        symbols
    }

    /// Brings nodes in an order in which each comes after those that make what it needs.
    pub(crate) fn sort(&mut self) {
        let made: HashSet<String> = (self.nodes.iter())
            .flat_map(|node| node.outputs.iter().cloned())
            .collect();
        let mut ready: HashSet<String> = HashSet::new();
        let mut sorted = Vec::with_capacity(self.nodes.len());
        while !self.nodes.is_empty() {
            let count = sorted.len();
            for node in std::mem::take(&mut self.nodes) {
                let waits = |name: &String| made.contains(name) && !ready.contains(name);
                if node.inputs.iter().any(waits) {
                    self.nodes.push(node);
                } else {
                    ready.extend(node.outputs.iter().cloned());
                    sorted.push(node);
                }
            }
            if sorted.len() == count {
                // A circle, which the runtime will refuse.
                break;
            }
        }
        sorted.append(&mut self.nodes);
        self.nodes = sorted;
    }

    /// Drops nodes and constants that no output needs.
    pub(crate) fn prune(&mut self) {
        let makers = self.makers();
        let mut needed: HashSet<&str> = HashSet::new();
        let mut kept: HashSet<usize> = HashSet::new();
        let mut open: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
        while let Some(name) = open.pop() {
            if !needed.insert(name) {
                continue;
            }
            if let Some(&at) = makers.get(name)
                && kept.insert(at)
            {
                open.extend(self.nodes[at].inputs.iter().map(String::as_str));
            }
        }
        let needed: HashSet<String> = needed.into_iter().map(str::to_owned).collect();
        let mut at = 0..;
        self.nodes
            .retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
        self.constants
            .retain(|tensor| needed.contains(&tensor.name));
        self.inputs.retain(|input| needed.contains(&input.name));
    }
}

impl Node {
    /// A node of the standard's own operators.
    pub(crate) fn new(op: &str, inputs: &[&str], output: &str) -> Self {
        Self {
            op: op.into(),
            name: output.into(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            outputs: vec![output.into()],
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// Whether it is this operator of the standard.
    pub(crate) fn is(&self, op: &str) -> bool {
        self.op == op && self.domain.is_empty()
    }

    /// Its first output.
    pub(crate) fn output(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    /// Its n-th input; empty if it has none there.
    pub(crate) fn input(&self, n: usize) -> &str {
        self.inputs.get(n).map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.name == name)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.int
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        Some(&self.attribute(name)?.ints)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&[u8]> {
        self.attribute(name)?.text.as_deref()
    }

    /// Whether it is a convolution of one pixel with itself: 1x1, no step, no border, all channels together.
    pub(crate) fn is_pointwise(&self, weights: &Tensor) -> bool {
        let all = |name: &str, value: i64| {
            self.ints(name)
                .is_none_or(|values| values.iter().all(|&v| v == value))
        };
        self.is("Conv")
            && matches!(weights.dims[..], [_, _, 1, 1])
            && all("strides", 1)
            && all("pads", 0)
            && all("dilations", 1)
            && self.int("group").is_none_or(|group| group == 1)
    }
}

impl Attribute {
    pub(crate) fn of_int(name: &str, value: i64) -> Self {
        Self {
            name: name.into(),
            int: Some(value),
            kind: kind::INT,
            ..Self::default()
        }
    }

    pub(crate) fn of_ints(name: &str, values: &[i64]) -> Self {
        Self {
            name: name.into(),
            ints: values.to_vec(),
            kind: kind::INTS,
            ..Self::default()
        }
    }
}

impl Tensor {
    pub(crate) fn of_floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw(name, dims, dtype::FLOAT, raw)
    }

    pub(crate) fn of_int8s(name: &str, dims: &[i64], values: &[i8]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw(name, dims, dtype::INT8, raw)
    }

    /// A list.
    pub(crate) fn of_int64s(name: &str, values: &[i64]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw(name, &[values.len() as i64], dtype::INT64, raw)
    }

    pub(crate) fn of_bytes(name: &str, dims: &[i64], values: &[u8]) -> Self {
        Self::of_raw(name, dims, dtype::UINT8, values.to_vec())
    }

    fn of_raw(name: &str, dims: &[i64], dtype: i32, raw: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            dims: dims.to_vec(),
            dtype,
            raw: Some(raw),
            ..Self::default()
        }
    }

    /// Its values, if they are f32.
    pub(crate) fn values(&self) -> Option<Vec<f32>> {
        if self.dtype != dtype::FLOAT {
            return None;
        }
        let values = match &self.raw {
            Some(raw) => {
                let numbers = raw.chunks_exact(4);
                numbers
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect()
            }
            None => self.floats.clone(),
        };
        (values.len() as i64 == self.dims.iter().product::<i64>()).then_some(values)
    }

    /// Its values, if they are i8.
    pub(crate) fn int8s(&self) -> Option<Vec<i8>> {
        let raw = self.raw.as_ref().filter(|_| self.dtype == dtype::INT8)?;
        Some(raw.iter().map(|&byte| byte as i8).collect())
    }

    /// Its values, if they are i64.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        if self.dtype != dtype::INT64 {
            return None;
        }
        Some(match &self.raw {
            Some(raw) => {
                let numbers = raw.as_chunks::<8>().0.iter();
                numbers.map(|b| i64::from_le_bytes(*b)).collect()
            }
            None => self.int64s.clone(),
        })
    }
}

impl ValueInfo {
    /// A tensor that a graph takes or gives.
    pub(crate) fn tensor(name: &str, dtype: i32, shape: &[i64]) -> Self {
        let dims = shape.iter().map(|&size| Dim {
            size: Some(size),
            symbol: None,
        });
        Self {
            name: name.into(),
            kind: Some(Type {
                tensor: Some(TensorType {
                    dtype,
                    shape: Some(Shape {
                        dims: dims.collect(),
                    }),
                }),
            }),
        }
    }

    /// An output of which the runtime finds type and shape itself.
    pub(crate) fn unknown(name: &str) -> Self {
        Self {
            name: name.into(),
            kind: None,
        }
    }
}
