//! Reading and changing a graph: which node produces a tensor, which nodes consume it, what is constant.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;

use super::proto::{
    Attribute, Dim, Graph, Model, Node, Shape, Tensor, TensorType, Type, ValueInfo,
};
use super::proto::{attribute_type, data_type};

/// Shapes of tensors by name; every size is known.
pub(crate) type Shapes = HashMap<String, Vec<i64>>;

impl Model {
    /// Reads a model. Branches and loops are refused: the rewriting steps look at one graph alone.
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

    /// The graph; [`Model::parse`] made sure that there is one.
    pub(crate) fn graph(&self) -> Result<&Graph> {
        self.graph.as_ref().context("a model without a graph")
    }

    pub(crate) fn graph_mut(&mut self) -> Result<&mut Graph> {
        self.graph.as_mut().context("a model without a graph")
    }

    /// The model with `graph` in place of its own.
    pub(crate) fn with_graph(&self, graph: Graph) -> Self {
        // Field by field: the old graph, with all its weights, is not copied.
        Self {
            graph: Some(graph),
            ir_version: self.ir_version,
            producer_name: self.producer_name.clone(),
            producer_version: self.producer_version.clone(),
            domain: self.domain.clone(),
            version: self.version,
            doc_string: self.doc_string.clone(),
            opset_imports: self.opset_imports.clone(),
            metadata_props: self.metadata_props.clone(),
            training_infos: self.training_infos.clone(),
            functions: self.functions.clone(),
            configurations: self.configurations.clone(),
            unknown: self.unknown.clone(),
        }
    }
}

impl Graph {
    /// Which node produces each tensor.
    pub(crate) fn producers(&self) -> HashMap<&str, usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .flat_map(|(at, node)| node.outputs.iter().map(move |name| (name.as_str(), at)))
            .collect()
    }

    /// Which nodes consume each tensor; a node that takes it twice is listed twice.
    pub(crate) fn consumers(&self) -> HashMap<&str, Vec<usize>> {
        let mut consumers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                consumers.entry(name).or_default().push(at);
            }
        }
        consumers
    }

    /// The constant of this name.
    pub(crate) fn initializer(&self, name: &str) -> Option<&Tensor> {
        self.initializers.iter().find(|tensor| tensor.name == name)
    }

    /// Whether this tensor is an output of the graph.
    pub(crate) fn is_output(&self, name: &str) -> bool {
        self.outputs.iter().any(|output| output.name == name)
    }

    pub(crate) fn input_names(&self) -> Vec<&str> {
        let inputs = self.inputs.iter();
        inputs.map(|input| input.name.as_str()).collect()
    }

    /// The shape of an input, if every size of it is known.
    pub(crate) fn input_shape(&self, name: &str) -> Option<Vec<i64>> {
        let input = self.inputs.iter().find(|input| input.name == name)?;
        let shape = input.tensor_type()?.shape.as_ref()?;
        shape.dims.iter().map(|dim| dim.size).collect()
    }

    /// The symbols that stand for the batch size: those of the inputs' first axes.
    pub(crate) fn batch_symbols(&self) -> Vec<String> {
        let first = |input: &ValueInfo| {
            let shape = input.tensor_type()?.shape.as_ref()?;
            shape.dims.first()?.symbol.clone()
        };
        let mut symbols: Vec<String> = self.inputs.iter().filter_map(first).collect();
        symbols.sort();
        symbols.dedup();
        symbols
    }

    /// Sorts the nodes so that each comes after those whose outputs it takes.
    pub(crate) fn sort(&mut self) {
        let produced: HashSet<String> = (self.nodes.iter())
            .flat_map(|node| node.outputs.iter().cloned())
            .collect();
        let mut ready: HashSet<String> = HashSet::new();
        let mut sorted = Vec::with_capacity(self.nodes.len());
        while !self.nodes.is_empty() {
            let count = sorted.len();
            for node in std::mem::take(&mut self.nodes) {
                let waits = |name: &String| produced.contains(name) && !ready.contains(name);
                if node.inputs.iter().any(waits) {
                    self.nodes.push(node);
                } else {
                    ready.extend(node.outputs.iter().cloned());
                    sorted.push(node);
                }
            }
            if sorted.len() == count {
                // A cycle, which the runtime will refuse.
                break;
            }
        }
        sorted.append(&mut self.nodes);
        self.nodes = sorted;
    }

    /// Removes nodes, constants and inputs that no output needs.
    pub(crate) fn prune(&mut self) {
        let producers = self.producers();
        let mut needed: HashSet<&str> = HashSet::new();
        let mut needed_nodes: HashSet<usize> = HashSet::new();
        let mut open: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
        while let Some(name) = open.pop() {
            if !needed.insert(name) {
                continue;
            }
            if let Some(&at) = producers.get(name)
                && needed_nodes.insert(at)
            {
                open.extend(self.nodes[at].inputs.iter().map(String::as_str));
            }
        }
        let needed: HashSet<String> = needed.into_iter().map(str::to_owned).collect();
        let mut at = 0..;
        self.nodes
            .retain(|_| at.next().is_some_and(|at| needed_nodes.contains(&at)));
        self.initializers
            .retain(|tensor| needed.contains(&tensor.name));
        self.inputs.retain(|input| needed.contains(&input.name));
    }
}

impl Node {
    /// A node of one of the standard's own operators, named like its output.
    pub(crate) fn new(op_type: &str, inputs: &[&str], output: &str) -> Self {
        Self {
            op_type: op_type.into(),
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
    pub(crate) fn is(&self, op_type: &str) -> bool {
        self.op_type == op_type && self.domain.is_empty()
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

    pub(crate) fn string(&self, name: &str) -> Option<&[u8]> {
        self.attribute(name)?.string.as_deref()
    }

    /// Whether it is a plain 1x1 convolution: no stride, no padding, one group.
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
            kind: attribute_type::INT,
            ..Self::default()
        }
    }

    pub(crate) fn of_ints(name: &str, values: &[i64]) -> Self {
        Self {
            name: name.into(),
            ints: values.to_vec(),
            kind: attribute_type::INTS,
            ..Self::default()
        }
    }
}

impl Tensor {
    pub(crate) fn of_floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw_data(name, dims, data_type::FLOAT, raw_data)
    }

    pub(crate) fn of_int8s(name: &str, dims: &[i64], values: &[i8]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw_data(name, dims, data_type::INT8, raw_data)
    }

    /// A tensor with one axis.
    pub(crate) fn of_int64s(name: &str, values: &[i64]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::of_raw_data(name, &[values.len() as i64], data_type::INT64, raw_data)
    }

    pub(crate) fn of_bytes(name: &str, dims: &[i64], values: &[u8]) -> Self {
        Self::of_raw_data(name, dims, data_type::UINT8, values.to_vec())
    }

    fn of_raw_data(name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            dims: dims.to_vec(),
            data_type,
            raw_data: Some(raw_data),
            ..Self::default()
        }
    }

    /// Its values, if they are f32 and in the file.
    pub(crate) fn float_values(&self) -> Option<Vec<f32>> {
        if self.data_type != data_type::FLOAT {
            return None;
        }
        let values = match &self.raw_data {
            Some(raw_data) => {
                let numbers = raw_data.as_chunks::<4>().0.iter();
                numbers.map(|b| f32::from_le_bytes(*b)).collect()
            }
            None => self.floats.clone(),
        };
        (values.len() as i64 == self.dims.iter().product::<i64>()).then_some(values)
    }

    /// Its values, if they are i8.
    pub(crate) fn int8_values(&self) -> Option<Vec<i8>> {
        let is_int8 = self.data_type == data_type::INT8;
        let raw_data = self.raw_data.as_ref().filter(|_| is_int8)?;
        Some(raw_data.iter().map(|&byte| byte as i8).collect())
    }

    /// Its values, if they are i64.
    pub(crate) fn int64_values(&self) -> Option<Vec<i64>> {
        if self.data_type != data_type::INT64 {
            return None;
        }
        Some(match &self.raw_data {
            Some(raw_data) => {
                let numbers = raw_data.as_chunks::<8>().0.iter();
                numbers.map(|b| i64::from_le_bytes(*b)).collect()
            }
            None => self.int64s.clone(),
        })
    }
}

impl ValueInfo {
    /// A tensor that a graph takes or gives.
    pub(crate) fn tensor(name: &str, elem_type: i32, shape: &[i64]) -> Self {
        let dims = shape.iter().map(|&size| Dim {
            size: Some(size),
            ..Dim::default()
        });
        let shape = Shape {
            dims: dims.collect(),
            ..Shape::default()
        };
        Self {
            name: name.into(),
            value_type: Some(Type {
                tensor: Some(TensorType {
                    elem_type,
                    shape: Some(shape),
                    ..TensorType::default()
                }),
                ..Type::default()
            }),
            ..Self::default()
        }
    }

    /// An output whose type and shape the runtime infers.
    pub(crate) fn untyped(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Its type, if it is a tensor.
    pub(crate) fn tensor_type(&self) -> Option<&TensorType> {
        self.value_type.as_ref()?.tensor.as_ref()
    }
}
