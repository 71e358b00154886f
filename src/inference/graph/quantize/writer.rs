//! Rewrites the graphs: blocks in eight bits, and the features they take as bytes.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::layer::{quantized_layer, stack_rows, with_byte_output};
use super::node::{BYTE_BLOCK, SIZE, SKIP_CHANNELS, SMALL_SIZE, is_byte_block};
use super::statistics::{ByteScales, Statistics};
use crate::inference::graph::fuse::{CORNERS, DOMAIN, FoundBlock, OUTPUT, RESIDUAL, STRIDE};
use crate::inference::graph::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, data_type};
use crate::inference::graph::split::Feature;
use crate::inference::kernel::Grid;
use crate::inference::kernel::int8::{Affine, Layer, MAX_OUTPUT_CONV_CHANNELS};

/// Features that are given as bytes, by name: their shapes as f32, and what the bytes stand for.
pub(super) type ByteFeatures = HashMap<String, (Vec<i64>, ByteScales)>;

/// Writes the blocks of a graph in eight bits, one after the other.
pub(super) struct Writer<'a> {
    graph: Graph,
    features: HashMap<&'a str, &'a Feature>,
    statistics: &'a Statistics,
    byte_features: ByteFeatures,
    /// Tensors that also exist with their channels last.
    channels_last: HashSet<String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        graph: Graph,
        features: impl Iterator<Item = &'a Feature>,
        statistics: &'a Statistics,
    ) -> Self {
        Self {
            graph,
            features: features
                .map(|feature| (feature.name.as_str(), feature))
                .collect(),
            statistics,
            byte_features: HashMap::new(),
            channels_last: HashSet::new(),
        }
    }

    /// The rewritten graph, and the features that it takes as bytes.
    pub(super) fn finish(mut self) -> (Graph, ByteFeatures) {
        self.fuse_heads();
        self.take_bytes();
        // Nodes were appended after those that need them.
        self.graph.sort();
        self.graph.prune();
        (self.graph, self.byte_features)
    }

    /// Replaces `block`, if there are statistics of its tensors and its skip connection, if it has one, is a feature that
    /// nothing else takes.
    pub(super) fn quantize_block(&mut self, block: &FoundBlock) -> Option<()> {
        let layers = &block.layers;
        // What would be added to the output comes as bytes.
        (!layers.residual || layers.upsampled_input.is_none()).then_some(())?;
        let (middle, [expanded, filtered]) = (layers.middle(), &block.hidden);
        let expanded = self.statistics.get(expanded, middle)?;
        let filtered = self.statistics.get(filtered, middle)?;
        let columns = |weights: &[f32]| weights.len() / middle;
        // The upsampled input stays f32; the one beside it, the skip connection, comes as bytes.
        let (picture, picture_weights, skip) = match (&block.small_input, &layers.upsampled_input) {
            (Some(small), Some(upsampled_input)) => {
                (small, &upsampled_input.weights, Some(&block.input))
            }
            _ => (&block.input, &layers.expand, None),
        };
        let statistics = self.statistics.get(picture, columns(picture_weights))?;
        let (mut input, mut means) = (statistics.byte_scales(), statistics.means());
        let affine = input.affine();
        let mut weights = picture_weights.clone();
        if let Some(name) = skip {
            let is_only_use = self.graph.consumers().get(name.as_str())?.len() == 1;
            let feature = self.features.get(name.as_str());
            let feature = feature.filter(|_| is_only_use)?;
            let statistics = self.statistics.get(name, columns(&layers.expand))?;
            let scales = statistics.byte_scales();
            means.extend(statistics.means());
            input = input.followed_by(&scales);
            let rows = picture_weights.chunks_exact(columns(picture_weights));
            let rows = rows.zip(layers.expand.chunks_exact(columns(&layers.expand)));
            weights = rows
                .flat_map(|(picture, skip)| [picture, skip].concat())
                .collect();
            let byte_feature = (feature.shape.clone(), scales);
            self.byte_features.insert(name.clone(), byte_feature);
        }
        let expand = quantized_layer(&weights, &layers.expand_bias, &input, &means);
        let filters = (layers.depthwise.as_chunks::<9>().0.iter()).zip(&layers.depthwise_bias);
        let expanded_scales = expanded.byte_scales();
        let depthwise_row = |(channel, (filter, bias)): (usize, (&[f32; 9], &f32))| {
            let taps = ByteScales {
                scales: vec![expanded_scales.scales[channel]; 9],
                zero_points: vec![0; 9],
            };
            quantized_layer(filter, &[*bias], &taps, &[expanded.mean(channel); 9])
        };
        let depthwise: Vec<Layer> = filters.enumerate().map(depthwise_row).collect();
        let project = quantized_layer(
            &layers.project,
            &layers.project_bias,
            &filtered.byte_scales(),
            &filtered.means(),
        );
        let layers = [
            with_byte_output(expand, &expanded_scales),
            with_byte_output(stack_rows(&depthwise), &filtered.byte_scales()),
            project,
        ];
        self.write_block(block, picture, skip.map(String::as_str), &affine, &layers);
        Some(())
    }

    fn write_block(
        &mut self,
        block: &FoundBlock,
        picture: &str,
        skip: Option<&str>,
        input: &Affine,
        quantized: &[Layer; 3],
    ) {
        let output = self.graph.nodes[block.output_node].output().to_owned();
        let pictures: Vec<String> = [self.channels_last(picture)]
            .into_iter()
            .chain(skip.map(bytes_name))
            .collect();
        let pictures: Vec<&str> = pictures.iter().map(String::as_str).collect();
        let mut node = Node {
            domain: DOMAIN.into(),
            attributes: attributes(block, skip.is_some()),
            ..Node::new(BYTE_BLOCK, &pictures, &channels_last_name(&output))
        };
        let mut add_constant = |tensor: Tensor| {
            node.inputs.push(tensor.name.clone());
            self.graph.initializers.push(tensor);
        };
        let name = |what: &str| format!("{output}.{what}");
        add_constant(affine_tensor(&name("rounded"), input));
        for (what, layer) in ["expand", "depthwise", "project"]
            .into_iter()
            .zip(quantized)
        {
            let rows = layer.affine.factor.len();
            let dims = [rows, layer.weights.len() / rows].map(|n| n as i64);
            add_constant(Tensor::of_int8s(&name(what), &dims, &layer.weights));
            add_constant(affine_tensor(&name(&format!("{what}.sums")), &layer.affine));
        }
        // For consumers that take channels first; pruned if there are none.
        let first = Attribute::of_ints("perm", &[0, 3, 1, 2]);
        let back = Node::new("Transpose", &[&channels_last_name(&output)], &output).with(first);
        self.graph.nodes[block.output_node] = back;
        self.graph.nodes.push(node);
        self.channels_last.insert(output);
    }

    /// The name of a tensor with its channels last.
    fn channels_last(&mut self, name: &str) -> String {
        if self.channels_last.insert(name.to_owned()) {
            let last = Attribute::of_ints("perm", &[0, 2, 3, 1]);
            let node = Node::new("Transpose", &[name], &channels_last_name(name)).with(last);
            self.graph.nodes.push(node);
        }
        channels_last_name(name)
    }

    /// Lets blocks compute the small convolution that follows them, if nothing else takes their output.
    fn fuse_heads(&mut self) {
        while let Some((conv, block)) = self.find_head() {
            let conv = self.graph.nodes.remove(conv);
            let output = conv.output().to_owned();
            let channels = (self.graph.initializer(conv.input(1))).map_or(0, |w| w.dims[0]);
            let bias = match conv.input(2) {
                "" => {
                    let name = format!("{output}.bias");
                    let zeros = vec![0.0; channels as usize];
                    self.graph
                        .initializers
                        .push(Tensor::of_floats(&name, &[channels], &zeros));
                    name
                }
                name => name.to_owned(),
            };
            let mut nodes = self.graph.nodes.iter_mut();
            if let Some(node) = nodes.find(|node| node.output() == block) {
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

    /// The index of a convolution that a block can compute, and the block's output.
    fn find_head(&self) -> Option<(usize, String)> {
        let (producers, consumers) = (self.graph.producers(), self.graph.consumers());
        (0..self.graph.nodes.len()).find_map(|at| {
            let conv = &self.graph.nodes[at];
            let weights = self.graph.initializer(conv.input(1))?;
            let is_small =
                conv.is_pointwise(weights) && weights.dims[0] as usize <= MAX_OUTPUT_CONV_CHANNELS;
            let block = channels_last_name(conv.input(0));
            let is_only_use = consumers.get(conv.input(0))?.len() == 1
                && consumers.get(block.as_str())?.len() == 1
                && !self.graph.is_output(conv.input(0));
            let node = &self.graph.nodes[*producers.get(block.as_str())?];
            (is_small && is_only_use && is_byte_block(node)).then_some((at, block))
        })
    }

    /// Takes the byte features as bytes.
    fn take_bytes(&mut self) {
        for input in &mut self.graph.inputs {
            if let Some((shape, _)) = self.byte_features.get(&input.name) {
                *input = byte_feature(&input.name, shape);
            }
        }
    }
}

/// The attributes of a block's node.
fn attributes(block: &FoundBlock, has_skip: bool) -> Vec<Attribute> {
    let layers = &block.layers;
    let [channels, height, width] = layers.input.map(|n| n as i64);
    let [out, out_height, out_width] = layers.output().map(|n| n as i64);
    let skip_channels = if has_skip { channels } else { 0 };
    let mut attributes = vec![
        Attribute::of_ints(OUTPUT, &[1, out_height, out_width, out]),
        Attribute::of_ints(SIZE, &[height, width]),
        Attribute::of_int(SKIP_CHANNELS, skip_channels),
        Attribute::of_int(STRIDE, layers.stride as i64),
        Attribute::of_int(RESIDUAL, layers.residual.into()),
    ];
    if let Some(upsampled_input) = &layers.upsampled_input {
        let [_, height, width] = upsampled_input.input.map(|n| n as i64);
        let corners = i64::from(upsampled_input.grid == Grid::AlignCorners);
        attributes.extend([
            Attribute::of_ints(SMALL_SIZE, &[height, width]),
            Attribute::of_int(CORNERS, corners),
        ]);
    }
    attributes
}

/// `model` with these of its outputs as bytes, channels last.
pub(super) fn give_bytes(model: &Model, byte_features: &ByteFeatures) -> Result<Model> {
    let mut graph = model.graph()?.clone();
    for output in &mut graph.outputs {
        let Some((shape, scales)) = byte_features.get(&output.name) else {
            continue;
        };
        let name = output.name.clone();
        let [scale, zero, quantized] =
            ["scale", "zero", "quantized"].map(|what| format!("{name}.{what}"));
        let channels = [scales.channels() as i64];
        graph.initializers.extend([
            Tensor::of_floats(&scale, &channels, &scales.scales),
            Tensor::of_bytes(&zero, &channels, &scales.zero_points),
        ]);
        graph.nodes.extend([
            Node::new("QuantizeLinear", &[&name, &scale, &zero], &quantized)
                .with(Attribute::of_int("axis", 1)),
            Node::new("Transpose", &[&quantized], &bytes_name(&name))
                .with(Attribute::of_ints("perm", &[0, 2, 3, 1])),
        ]);
        *output = byte_feature(&name, shape);
    }
    Ok(model.with_graph(graph))
}

/// A feature of this name and shape as bytes, channels last.
fn byte_feature(name: &str, shape: &[i64]) -> ValueInfo {
    let shape = [shape[0], shape[2], shape[3], shape[1]];
    ValueInfo::tensor(&bytes_name(name), data_type::UINT8, &shape)
}

fn bytes_name(name: &str) -> String {
    format!("{name}.bytes")
}

fn channels_last_name(name: &str) -> String {
    format!("{name}.last")
}

/// Factors, then offsets: `[2, channels]`.
fn affine_tensor(name: &str, affine: &Affine) -> Tensor {
    let dims = [2, affine.factor.len() as i64];
    let values = [affine.factor.as_slice(), &affine.offset].concat();
    Tensor::of_floats(name, &dims, &values)
}
