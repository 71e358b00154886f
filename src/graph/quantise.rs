//! Eight bits for what is large: activations as u8 with a scale for each tensor, weights as i8 with a scale for each
//! output channel, sums as i32. What is said here in QuantizeLinear and DequantizeLinear nodes, ONNX Runtime turns into
//! integer kernels (VNNI).
//!
//! - Ranges are those seen on samples. The parts of a concatenation and what it makes share one, as do both sides of an
//!   upsample, so that nothing is scaled anew there.
//! - A channel's error from rounded weights is, in the mean over the samples, taken off by its bias (Nagel et al. 2019,
//!   "Data-free quantization through weight equalization and bias correction", section 4.2).
//! - Small layers hold most of the error and little of the time: those of up to `float_area` pixels stay as they are, and
//!   so does the last convolution, whose output is the picture.
//! - Features come from the image part as bytes, channels last, as the integer kernels want them.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::cut::{Cut, Feature};
use super::edit::Shapes;
use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, dtype};

/// What samples showed of a network's tensors.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    ranges: HashMap<String, (f32, f32)>,
    /// For `[1, channels, height, width]`: the mean of each channel, summed up over the samples.
    means: HashMap<String, Vec<f64>>,
    samples: HashMap<String, usize>,
}

impl Statistics {
    /// Takes in a tensor of one sample.
    pub(crate) fn add(&mut self, name: &str, shape: &[i64], values: &[f32]) {
        let (mut low, mut high) = self.ranges.get(name).copied().unwrap_or_default();
        for &value in values {
            low = low.min(value);
            high = high.max(value);
        }
        self.ranges.insert(name.to_owned(), (low, high));
        let &[1, channels, height, width] = shape else {
            return;
        };
        let means = self
            .means
            .entry(name.to_owned())
            .or_insert_with(|| vec![0.0; channels as usize]);
        let pixels = (height * width).max(1) as usize;
        for (mean, plane) in means.iter_mut().zip(values.chunks_exact(pixels)) {
            *mean += plane.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels as f64;
        }
        *self.samples.entry(name.to_owned()).or_default() += 1;
    }

    fn mean(&self, name: &str) -> Option<Vec<f64>> {
        let samples = *self.samples.get(name)? as f64;
        let sums = self.means.get(name)?;
        Some(sums.iter().map(|sum| sum / samples).collect())
    }
}

/// A real number is `scale * (byte - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Affine {
    scale: f32,
    zero: u8,
}

impl Affine {
    fn of((low, high): (f32, f32)) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0).max(low.min(0.0) + 1e-6));
        let scale = (high - low) / 255.0;
        Self {
            scale,
            zero: (-low / scale).round() as u8,
        }
    }
}

/// The tensors whose values [`quantise`] wants to know: what nodes of `graph` make, as far as it is f32.
pub(crate) fn observed(graph: &Graph, shapes: &Shapes) -> Vec<String> {
    let outputs = graph.nodes.iter().flat_map(|node| &node.outputs);
    outputs
        .filter(|name| shapes.contains_key(*name) && !graph.gives(name))
        .cloned()
        .collect()
}

/// The areas that make a difference as `float_area`, from none on.
pub(crate) fn areas(cut: &Cut, shapes: &Shapes) -> Result<Vec<i64>> {
    let graph = cut.joint.graph()?;
    let convs = graph.nodes.iter().filter(|node| node.is("Conv"));
    let mut areas: Vec<i64> = convs.filter_map(|node| area(node, shapes)).collect();
    areas.push(0);
    areas.sort_unstable();
    areas.dedup();
    // With the largest, nothing would be left.
    areas.pop();
    Ok(areas)
}

fn area(node: &Node, shapes: &Shapes) -> Option<i64> {
    match shapes.get(node.output())?[..] {
        [_, _, height, width] => Some(height * width),
        _ => None,
    }
}

/// The parts of `cut` with eight bits where a layer has more than `float_area` pixels.
pub(crate) fn quantise(
    cut: &Cut,
    shapes: &Shapes,
    seen: &Statistics,
    float_area: i64,
) -> Result<Cut> {
    let graph = cut.joint.graph()?;
    let plan = Plan::new(graph, shapes, seen, float_area);
    let is_byte = |feature: &&Feature| feature.shape.len() == 4 && plan.has(&feature.name);
    let features = cut.kept.iter().chain(&cut.remade);
    let bytes: Vec<&Feature> = features.filter(is_byte).collect();
    let part = |model: &Model| in_bytes(model, &bytes, &plan);
    Ok(Cut {
        image: part(&cut.image)?,
        cheap: cut.cheap.as_ref().map(part).transpose()?,
        joint: cut
            .joint
            .with(Writer::new(graph, &plan, &bytes, seen).write()),
        kept: cut.kept.clone(),
        remade: cut.remade.clone(),
    })
}

/// Which nodes and tensors of a graph become integer, and how.
struct Plan {
    /// By number.
    nodes: HashSet<usize>,
    tensors: HashMap<String, Affine>,
}

impl Plan {
    fn new(graph: &Graph, shapes: &Shapes, seen: &Statistics, float_area: i64) -> Self {
        let last = last_convolution(graph);
        let nodes: HashSet<usize> = (0..graph.nodes.len())
            .filter(|&at| {
                let node = &graph.nodes[at];
                let known = seen.ranges.contains_key(node.input(0)) || !node.is("Conv");
                Some(at) != last
                    && known
                    && can_be_integer(graph, node)
                    && area(node, shapes).is_some_and(|area| area > float_area)
            })
            .collect();
        let ranges = shared_ranges(graph, seen);
        let users = graph.users();
        // A ReLU is part of what makes its input: there is nothing to round between them.
        let inside = |name: &str| match users.get(name).map(Vec::as_slice) {
            Some(&[user]) => graph.nodes[user].is("Relu"),
            _ => false,
        };
        let constants = graph.constant_names();
        let mut tensors = HashMap::new();
        for &at in &nodes {
            let node = &graph.nodes[at];
            let data = if node.is("Concat") || node.is("Add") {
                node.inputs.len()
            } else {
                1
            };
            let touched = node.inputs[..data].iter().chain(&node.outputs);
            for name in touched.filter(|name| !constants.contains(name.as_str())) {
                let made_by = graph.nodes.iter().find(|n| n.output() == name);
                let joined = made_by.is_some_and(|n| n.is("Conv") || n.is("Add")) && inside(name);
                if let Some(&range) = ranges.get(name)
                    && !joined
                    && !graph.gives(name)
                {
                    tensors.insert(name.clone(), Affine::of(range));
                }
            }
        }
        Self { nodes, tensors }
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

fn can_be_integer(graph: &Graph, node: &Node) -> bool {
    let constant = |n: usize| {
        graph
            .constant(node.input(n))
            .and_then(Tensor::values)
            .is_some()
    };
    match node.op.as_str() {
        "Conv" => constant(1) && (node.inputs.len() < 3 || constant(2)),
        "Add" => !constant(0) && !constant(1),
        "Concat" | "Resize" | "Relu" => true,
        _ => false,
    }
}

/// The convolution after which no other comes.
fn last_convolution(graph: &Graph) -> Option<usize> {
    (0..graph.nodes.len())
        .rev()
        .find(|&at| graph.nodes[at].is("Conv"))
}

fn shared_ranges(graph: &Graph, seen: &Statistics) -> HashMap<String, (f32, f32)> {
    let mut ranges = seen.ranges.clone();
    for node in graph.nodes.iter().rev() {
        let sharing: Vec<&String> = if node.is("Concat") {
            node.inputs.iter().chain(&node.outputs).collect()
        } else if node.is("Resize") {
            vec![&node.inputs[0], &node.outputs[0]]
        } else {
            continue;
        };
        let known = sharing.iter().filter_map(|name| ranges.get(*name));
        let all = known.fold((0.0_f32, 0.0_f32), |all, one| {
            (all.0.min(one.0), all.1.max(one.1))
        });
        for name in sharing {
            ranges.insert(name.clone(), all);
        }
    }
    ranges
}

/// `model` with these features as bytes, channels last.
fn in_bytes(model: &Model, bytes: &[&Feature], plan: &Plan) -> Result<Model> {
    let mut graph = model.graph()?.clone();
    for output in &mut graph.outputs {
        let Some(feature) = bytes.iter().find(|f| f.name == output.name) else {
            continue;
        };
        let name = &feature.name;
        let affine = plan.tensors[name];
        graph.constants.extend(constants(name, affine));
        let [scale, zero, quantised, byte] = names(name);
        graph.nodes.extend([
            Node::new("QuantizeLinear", &[name, &scale, &zero], &quantised),
            Node::new("Transpose", &[&quantised], &byte)
                .with(Attribute::of_ints("perm", &[0, 2, 3, 1])),
        ]);
        *output = ValueInfo::tensor(&byte, dtype::UINT8, &channels_last(&feature.shape));
    }
    Ok(model.with(graph))
}

/// Names that go with a quantised tensor: its scale, its zero, its bytes, and its bytes with channels last.
fn names(name: &str) -> [String; 4] {
    ["scale", "zero", "quantised", "bytes"].map(|what| format!("{name}.{what}"))
}

fn constants(name: &str, affine: Affine) -> [Tensor; 2] {
    let [scale, zero, ..] = names(name);
    [
        Tensor::of_floats(&scale, &[], &[affine.scale]),
        Tensor::of_byte(&zero, affine.zero),
    ]
}

fn channels_last(shape: &[i64]) -> [i64; 4] {
    [shape[0], shape[2], shape[3], shape[1]]
}

/// Writes the integer graph node by node.
struct Writer<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    seen: &'a Statistics,
    bytes: &'a [&'a Feature],
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    /// Real tensors -> what they are when read back from bytes.
    renamed: HashMap<String, String>,
}

impl<'a> Writer<'a> {
    fn new(
        graph: &'a Graph,
        plan: &'a Plan,
        bytes: &'a [&'a Feature],
        seen: &'a Statistics,
    ) -> Self {
        Self {
            graph,
            plan,
            seen,
            bytes,
            nodes: Vec::new(),
            constants: graph.constants.clone(),
            renamed: HashMap::new(),
        }
    }

    fn write(mut self) -> Graph {
        let mut inputs = self.graph.inputs.clone();
        for input in &mut inputs {
            let name = input.name.clone();
            let byte = self.bytes.iter().find(|f| f.name == name);
            if let Some(feature) = byte {
                let [.., quantised, byte] = names(&name);
                *input = ValueInfo::tensor(&byte, dtype::UINT8, &channels_last(&feature.shape));
                let perm = Attribute::of_ints("perm", &[0, 3, 1, 2]);
                self.nodes
                    .push(Node::new("Transpose", &[&byte], &quantised).with(perm));
                self.read_back(&name);
            } else if self.plan.has(&name) {
                self.round(&name);
            }
        }
        for (at, node) in self.graph.nodes.iter().enumerate() {
            let mut node = node.clone();
            if self.plan.nodes.contains(&at) && node.is("Conv") {
                self.weights(&mut node);
            }
            for name in &mut node.inputs {
                if let Some(new) = self.renamed.get(name) {
                    name.clone_from(new);
                }
            }
            let outputs = node.outputs.clone();
            self.nodes.push(node);
            for name in outputs.iter().filter(|name| self.plan.has(name)) {
                self.round(name);
            }
        }
        let mut graph = Graph {
            nodes: self.nodes,
            name: self.graph.name.clone(),
            constants: self.constants,
            inputs,
            outputs: self.graph.outputs.clone(),
        };
        graph.prune();
        graph
    }

    /// Rounds a tensor to bytes and reads it back.
    fn round(&mut self, name: &str) {
        let [scale, zero, quantised, _] = names(name);
        self.nodes.push(Node::new(
            "QuantizeLinear",
            &[name, &scale, &zero],
            &quantised,
        ));
        self.read_back(name);
    }

    fn read_back(&mut self, name: &str) {
        let [scale, zero, quantised, _] = names(name);
        let back = format!("{name}.back");
        self.constants
            .extend(constants(name, self.plan.tensors[name]));
        let inputs = [quantised.as_str(), &scale, &zero];
        self.nodes
            .push(Node::new("DequantizeLinear", &inputs, &back));
        self.renamed.insert(name.to_owned(), back);
    }

    /// Gives a convolution integer weights and a bias that makes good for their rounding.
    fn weights(&mut self, conv: &mut Node) {
        let input = conv.input(0).to_owned();
        let weights = self.graph.constant(conv.input(1));
        let bias = self.graph.constant(conv.input(2)).and_then(Tensor::values);
        let (Some(weights), Some(affine)) = (weights, self.plan.tensors.get(&input)) else {
            return;
        };
        let Some(values) = weights.values() else {
            return;
        };
        let rows = weights.dims[0] as usize;
        let rounded = Rounded::new(&values, rows);
        let group = conv.int("group").unwrap_or(1) as usize;
        let means = self.seen.mean(&input).unwrap_or_default();
        let lost = rounded.lost(&values, group, &weights.dims, &means);
        let bias = bias.unwrap_or_else(|| vec![0.0; rows]);
        let sums: Vec<f32> = rounded.scales.iter().map(|s| s * affine.scale).collect();
        let bias: Vec<i32> = bias
            .iter()
            .zip(lost)
            .zip(&sums)
            .map(|((bias, lost), scale)| {
                ((f64::from(*bias) + lost) / f64::from(*scale)).round() as i32
            })
            .collect();
        let name = |what: &str| format!("{}.{what}", conv.output());
        let [w, w_scale, b, b_scale] = ["w", "w.scale", "b", "b.scale"].map(name);
        let [w_back, b_back] = ["w.back", "b.back"].map(name);
        let per_row = [rows as i64];
        self.constants.extend([
            Tensor::of_int8s(&w, &weights.dims, &rounded.values),
            Tensor::of_floats(&w_scale, &per_row, &rounded.scales),
            Tensor::of_int32s(&b, &per_row, &bias),
            Tensor::of_floats(&b_scale, &per_row, &sums),
        ]);
        let first = Attribute::of_int("axis", 0);
        self.nodes.extend([
            Node::new("DequantizeLinear", &[&w, &w_scale], &w_back).with(first.clone()),
            Node::new("DequantizeLinear", &[&b, &b_scale], &b_back).with(first),
        ]);
        conv.inputs = vec![input, w_back, b_back];
    }
}

/// Weights as i8, -127..=127, with a scale for each output channel.
struct Rounded {
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl Rounded {
    fn new(weights: &[f32], rows: usize) -> Self {
        let mut rounded = Self {
            values: Vec::with_capacity(weights.len()),
            scales: Vec::with_capacity(rows),
        };
        for row in weights.chunks_exact((weights.len() / rows.max(1)).max(1)) {
            let most = row.iter().fold(1e-8_f32, |most, v| most.max(v.abs()));
            let scale = most / 127.0;
            rounded.scales.push(scale);
            let bytes = row
                .iter()
                .map(|v| (v / scale).round().clamp(-127.0, 127.0) as i8);
            rounded.values.extend(bytes);
        }
        rounded
    }

    /// What each output channel lacks in the mean, given the means of the input's channels.
    fn lost(&self, weights: &[f32], group: usize, dims: &[i64], means: &[f64]) -> Vec<f64> {
        let (rows, columns) = (dims[0] as usize, dims[1] as usize);
        let taps = dims[2..].iter().product::<i64>() as usize;
        let rows_each = (rows / group).max(1);
        let row_len = columns * taps;
        (0..rows)
            .map(|row| {
                let first = row / rows_each * columns;
                (0..row_len)
                    .map(|at| {
                        let whole = row * row_len + at;
                        let kept = f64::from(self.values[whole]) * f64::from(self.scales[row]);
                        let mean = means.get(first + at / taps).copied().unwrap_or(0.0);
                        (f64::from(weights[whole]) - kept) * mean
                    })
                    .sum()
            })
            .collect()
    }
}
