//! Eight bits for what is large: inverted residual blocks become nodes that [`crate::inference::kernel::int8`] computes in whole
//! numbers: activations as u8, weights as i8 with a scale for each output channel, sums as i32.
//!
//! - Every channel has a scale of its own: it goes into the weights of the layer that takes the channel in, before these
//!   are rounded, and so costs nothing. It comes from the range that samples showed of the channel, widened, as others will
//!   go beyond it, but never beyond the whole tensor's.
//! - Between blocks all is f32, channels last: what a block adds to its input, and what is upsampled, is not rounded.
//! - A channel's error from rounded weights is, in the mean over the samples, taken off by its bias (Nagel et al. 2019,
//!   "Data-free quantization through weight equalization and bias correction", section 4.2).
//! - Small layers hold most of the error and little of the time: those of up to `float_area` pixels stay as they are, and
//!   so does the last convolution, whose output is the picture; the block before it computes it in f32.
//! - Features that blocks take in come from the image part as bytes, channels last.

mod layer;
mod node;
mod seen;

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::commute::commute;
use super::edit::Shapes;
use super::fuse::{self, CORNERS, DOMAIN, Found, OUTPUT, RESIDUAL, STRIDE};
use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, dtype};
use super::split::{Feature, SplitGraph};
use crate::inference::kernel::Grid;
use crate::inference::kernel::int8::{Affine, Layer, MAX_OUTPUT_CONV_CHANNELS};
use layer::{into_bytes, joined, layer};
pub(crate) use node::{BYTE_BLOCK, count, take};
use node::{SIZE, SKIP_CHANNELS, SMALL, is_byte_block};
use seen::Bytes;
pub(crate) use seen::Statistics;

/// The tensors whose values [`quantise`] wants to know: what nodes of `graph` make, as far as it is f32.
pub(crate) fn observed(graph: &Graph, shapes: &Shapes) -> Vec<String> {
    let outputs = graph.nodes.iter().flat_map(|node| &node.outputs);
    outputs
        .filter(|name| shapes.contains_key(*name) && !graph.gives(name))
        .cloned()
        .collect()
}

/// The areas that make a difference as `float_area`, from none on.
pub(crate) fn areas(split: &SplitGraph, shapes: &Shapes) -> Result<Vec<i64>> {
    let mut joint = split.joint.clone();
    commute(&mut joint, shapes)?;
    let blocks = fuse::blocks(joint.graph()?, shapes);
    let mut areas: Vec<i64> = blocks.iter().map(area).collect();
    areas.push(0);
    areas.sort_unstable();
    areas.dedup();
    // With the largest, nothing would be left.
    areas.pop();
    Ok(areas)
}

fn area(block: &Found) -> i64 {
    let [_, height, width] = block.layers.input;
    (height * width) as i64
}

/// The parts of `split` with eight bits in blocks of more than `float_area` pixels.
pub(crate) fn quantise(
    split: &SplitGraph,
    shapes: &Shapes,
    seen: &Statistics,
    float_area: i64,
) -> Result<SplitGraph> {
    let mut joint = split.joint.clone();
    commute(&mut joint, shapes)?;
    let features = split.kept.iter().chain(&split.remade);
    let mut writer = Writer {
        graph: joint.graph()?.clone(),
        features: features
            .map(|feature| (feature.name.as_str(), feature))
            .collect(),
        seen,
        bytes: HashMap::new(),
        last: HashSet::new(),
    };
    let graph = writer.graph.clone();
    for block in fuse::blocks(&graph, shapes) {
        if area(&block) > float_area {
            writer.replace(&block);
        }
    }
    writer.heads();
    writer.inputs();
    let Writer {
        mut graph, bytes, ..
    } = writer;
    graph.prune();
    joint = joint.with(graph);
    fuse::with_own_operators(&mut joint);
    let part = |model: &Model| in_bytes(model, &bytes);
    Ok(SplitGraph {
        image: part(&split.image)?,
        cheap: split.cheap.as_ref().map(part).transpose()?,
        joint,
        kept: split.kept.clone(),
        remade: split.remade.clone(),
    })
}

/// Writes the graph with blocks of bytes, one after the other.
struct Writer<'a> {
    graph: Graph,
    features: HashMap<&'a str, &'a Feature>,
    seen: &'a Statistics,
    /// Features that come as bytes.
    bytes: HashMap<String, (Vec<i64>, Bytes)>,
    /// Tensors that are there with their channels last.
    last: HashSet<String>,
}

impl Writer<'_> {
    /// Replaces `block`, if its tensors are known and what comes in beside it comes as a feature for it alone.
    fn replace(&mut self, block: &Found) -> Option<()> {
        let layers = &block.layers;
        // The sum would be with what comes as bytes.
        (!layers.residual || layers.upsampled_input.is_none()).then_some(())?;
        let (middle, [expanded, filtered]) = (layers.middle(), &block.inner);
        let expanded = self.seen.get(expanded, middle)?;
        let filtered = self.seen.get(filtered, middle)?;
        let columns = |weights: &[f32]| weights.len() / middle;
        // What is upsampled is the picture; what is not comes as bytes.
        let (picture, picture_weights, skip) = match (&block.beside, &layers.upsampled_input) {
            (Some(small), Some(beside)) => (small, &beside.weights, Some(&block.input)),
            _ => (&block.input, &layers.expand, None),
        };
        let seen = self.seen.get(picture, columns(picture_weights))?;
        let (mut input, mut means) = (seen.bytes(), seen.means());
        let affine = input.affine();
        let mut weights = picture_weights.clone();
        if let Some(name) = skip {
            let alone = self.graph.users().get(name.as_str())?.len() == 1;
            let feature = self.features.get(name.as_str()).filter(|_| alone)?;
            let seen = self.seen.get(name, columns(&layers.expand))?;
            let bytes = seen.bytes();
            means.extend(seen.means());
            input = input.followed_by(&bytes);
            let rows = picture_weights.chunks_exact(columns(picture_weights));
            let rows = rows.zip(layers.expand.chunks_exact(columns(&layers.expand)));
            weights = rows
                .flat_map(|(first, then)| [first, then].concat())
                .collect();
            (self.bytes).insert(name.clone(), (feature.shape.clone(), bytes));
        }
        let expand = layer(&weights, &layers.expand_bias, &input, &means);
        let filters = (layers.depthwise.as_chunks::<9>().0.iter()).zip(&layers.depthwise_bias);
        let expanded_bytes = expanded.bytes();
        let one = |(channel, (filter, bias)): (usize, (&[f32; 9], &f32))| {
            let taps = Bytes {
                scales: vec![expanded_bytes.scales[channel]; 9],
                zeros: vec![0; 9],
            };
            layer(filter, &[*bias], &taps, &[expanded.mean(channel); 9])
        };
        let depthwise: Vec<Layer> = filters.enumerate().map(one).collect();
        let project = layer(
            &layers.project,
            &layers.project_bias,
            &filtered.bytes(),
            &filtered.means(),
        );
        let layers = [
            into_bytes(expand, &expanded_bytes),
            into_bytes(joined(&depthwise), &filtered.bytes()),
            project,
        ];
        self.write(block, picture, skip.map(String::as_str), &affine, &layers);
        Some(())
    }

    fn write(
        &mut self,
        block: &Found,
        picture: &str,
        skip: Option<&str>,
        input: &Affine,
        layers: &[Layer; 3],
    ) {
        let output = self.graph.nodes[block.last].output().to_owned();
        let skip_channels = skip.map_or(0, |_| block.layers.input[0]);
        let pictures: Vec<String> = [self.channels_last(picture)]
            .into_iter()
            .chain(skip.map(bytes_of))
            .collect();
        let pictures: Vec<&str> = pictures.iter().map(String::as_str).collect();
        let mut node = Node {
            domain: DOMAIN.into(),
            ..Node::new(BYTE_BLOCK, &pictures, &last_of(&output))
        };
        let mut constant = |tensor: Tensor| {
            node.inputs.push(tensor.name.clone());
            self.graph.constants.push(tensor);
        };
        let name = |what: &str| format!("{output}.{what}");
        constant(of_affine(&name("rounded"), input));
        for (what, layer) in ["expand", "depthwise", "project"].into_iter().zip(layers) {
            let rows = layer.affine.factor.len();
            let dims = [rows, layer.weights.len() / rows].map(|n| n as i64);
            constant(Tensor::of_int8s(&name(what), &dims, &layer.weights));
            constant(of_affine(&name(&format!("{what}.sums")), &layer.affine));
        }
        let Found { layers, .. } = block;
        let [_, height, width] = layers.input.map(|n| n as i64);
        let [out, out_height, out_width] = layers.output().map(|n| n as i64);
        node.attributes = vec![
            Attribute::of_ints(OUTPUT, &[1, out_height, out_width, out]),
            Attribute::of_ints(SIZE, &[height, width]),
            Attribute::of_int(SKIP_CHANNELS, skip_channels as i64),
            Attribute::of_int(STRIDE, layers.stride as i64),
            Attribute::of_int(RESIDUAL, layers.residual.into()),
        ];
        if let Some(beside) = &layers.upsampled_input {
            let [_, height, width] = beside.input.map(|n| n as i64);
            let corners = i64::from(beside.grid == Grid::AlignCorners);
            node.attributes.extend([
                Attribute::of_ints(SMALL, &[height, width]),
                Attribute::of_int(CORNERS, corners),
            ]);
        }
        // Those who want it with channels first get it so; where there is nobody, this is dropped.
        let first = Attribute::of_ints("perm", &[0, 3, 1, 2]);
        let back = Node::new("Transpose", &[&last_of(&output)], &output).with(first);
        self.graph.nodes[block.last] = back;
        self.graph.nodes.push(node);
        self.last.insert(output);
    }

    /// The name of a tensor with its channels last.
    fn channels_last(&mut self, name: &str) -> String {
        if self.last.insert(name.to_owned()) {
            let last = Attribute::of_ints("perm", &[0, 2, 3, 1]);
            let node = Node::new("Transpose", &[name], &last_of(name)).with(last);
            self.graph.nodes.push(node);
        }
        last_of(name)
    }

    /// Lets blocks compute small convolutions that follow them alone.
    fn heads(&mut self) {
        while let Some((conv, block)) = self.head() {
            let conv = self.graph.nodes.remove(conv);
            let output = conv.output().to_owned();
            let channels = (self.graph.constant(conv.input(1))).map_or(0, |w| w.dims[0]);
            let bias = match conv.input(2) {
                "" => {
                    let name = format!("{output}.bias");
                    let zeros = vec![0.0; channels as usize];
                    self.graph
                        .constants
                        .push(Tensor::of_floats(&name, &[channels], &zeros));
                    name
                }
                name => name.to_owned(),
            };
            let at = self
                .graph
                .nodes
                .iter()
                .position(|node| node.output() == block);
            if let Some(node) = at.map(|at| &mut self.graph.nodes[at]) {
                node.inputs.extend([conv.input(1).to_owned(), bias]);
                node.outputs = vec![output];
                if let Some(&[_, height, width, _]) = node.ints(OUTPUT) {
                    node.attributes.retain(|attribute| attribute.name != OUTPUT);
                    let shape = [1, channels, height, width];
                    node.attributes.push(Attribute::of_ints(OUTPUT, &shape));
                }
            }
        }
    }

    /// A convolution by number that a block may take over, and the block's output.
    fn head(&self) -> Option<(usize, String)> {
        let (makers, users) = (self.graph.makers(), self.graph.users());
        (0..self.graph.nodes.len()).find_map(|at| {
            let conv = &self.graph.nodes[at];
            let weights = self.graph.constant(conv.input(1))?;
            let small =
                conv.is_pointwise(weights) && weights.dims[0] as usize <= MAX_OUTPUT_CONV_CHANNELS;
            let block = last_of(conv.input(0));
            let alone = users.get(conv.input(0))?.len() == 1
                && users.get(block.as_str())?.len() == 1
                && !self.graph.gives(conv.input(0));
            let node = &self.graph.nodes[*makers.get(block.as_str())?];
            (small && alone && is_byte_block(node)).then_some((at, block))
        })
    }

    /// Takes features in as bytes, and brings the nodes, of which some were added behind those that need them, in order.
    fn inputs(&mut self) {
        for input in &mut self.graph.inputs {
            if let Some((shape, _)) = self.bytes.get(&input.name) {
                *input =
                    ValueInfo::tensor(&bytes_of(&input.name), dtype::UINT8, &channels_last(shape));
            }
        }
        self.graph.sort();
    }
}

/// `model` with these features as bytes, channels last.
fn in_bytes(model: &Model, bytes: &HashMap<String, (Vec<i64>, Bytes)>) -> Result<Model> {
    let mut graph = model.graph()?.clone();
    for output in &mut graph.outputs {
        let Some((shape, of)) = bytes.get(&output.name) else {
            continue;
        };
        let name = output.name.clone();
        let [scale, zero, quantised] =
            ["scale", "zero", "quantised"].map(|what| format!("{name}.{what}"));
        let channels = [of.channels() as i64];
        graph.constants.extend([
            Tensor::of_floats(&scale, &channels, &of.scales),
            Tensor::of_bytes(&zero, &channels, &of.zeros),
        ]);
        graph.nodes.extend([
            Node::new("QuantizeLinear", &[&name, &scale, &zero], &quantised)
                .with(Attribute::of_int("axis", 1)),
            Node::new("Transpose", &[&quantised], &bytes_of(&name))
                .with(Attribute::of_ints("perm", &[0, 2, 3, 1])),
        ]);
        *output = ValueInfo::tensor(&bytes_of(&name), dtype::UINT8, &channels_last(shape));
    }
    Ok(model.with(graph))
}

fn bytes_of(name: &str) -> String {
    format!("{name}.bytes")
}

fn last_of(name: &str) -> String {
    format!("{name}.last")
}

fn channels_last(shape: &[i64]) -> [i64; 4] {
    [shape[0], shape[2], shape[3], shape[1]]
}

fn of_affine(name: &str, affine: &Affine) -> Tensor {
    let dims = [2, affine.factor.len() as i64];
    Tensor::of_floats(
        name,
        &dims,
        &[affine.factor.as_slice(), &affine.offset].concat(),
    )
}
