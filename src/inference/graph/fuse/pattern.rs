//! Finds inverted residual blocks in a graph.

use std::collections::HashMap;

use crate::inference::graph::edit::Shapes;
use crate::inference::graph::proto::{Graph, Node, Tensor};
use crate::inference::kernel::{Grid, Layers, UpsampledInput};

/// A block of a graph.
#[derive(Debug, Clone)]
pub(crate) struct FoundBlock {
    /// The index of the node whose output is the block's.
    pub(crate) output_node: usize,
    /// The picture that it takes.
    pub(crate) input: String,
    /// The smaller picture that is upsampled and added after the first convolution, if there is one.
    pub(crate) small_input: Option<String>,
    /// The outputs of its first two layers, after Relu.
    pub(crate) hidden: [String; 2],
    pub(crate) layers: Layers,
}

/// The blocks of `graph`.
pub(crate) fn find_blocks(graph: &Graph, shapes: &Shapes) -> Vec<FoundBlock> {
    let search = Search::new(graph, shapes);
    (0..graph.nodes.len())
        .filter_map(|project| search.block(project))
        .collect()
}

struct Search<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    producers: HashMap<&'a str, usize>,
    consumers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes) -> Self {
        Self {
            graph,
            shapes,
            producers: graph.producers(),
            consumers: graph.consumers(),
        }
    }

    /// The block whose last convolution is node `project`.
    fn block(&self, project: usize) -> Option<FoundBlock> {
        let node = &self.graph.nodes[project];
        let (weights, bias) = self.weights(node)?;
        if !node.is_pointwise(weights) {
            return None;
        }
        let depthwise = self.before_relu(node.input(0))?;
        let (filters, filters_bias) = self.weights(depthwise)?;
        let stride = depthwise_stride(depthwise, filters)?;
        let (expand, small) = self.expand(depthwise.input(0))?;
        let (expand_weights, expand_bias) = self.weights(expand)?;
        if !expand.is_pointwise(expand_weights) {
            return None;
        }
        let input = expand.input(0);
        let shape = self.shape(input)?;
        let (output_node, residual) = match self.residual(project, input) {
            Some(add) if stride == 1 => (add, true),
            _ => (project, false),
        };
        let layers = Layers {
            input: shape,
            expand: expand_weights.float_values()?,
            expand_bias,
            upsampled_input: small.as_ref().map(|(_, small)| small.clone()),
            depthwise: filters.float_values()?,
            depthwise_bias: filters_bias,
            stride,
            project: weights.float_values()?,
            project_bias: bias,
            residual,
        };
        layers.check().ok()?;
        Some(FoundBlock {
            output_node,
            input: input.to_owned(),
            small_input: small.map(|(name, _)| name),
            hidden: [depthwise.input(0), node.input(0)].map(str::to_owned),
            layers,
        })
    }

    /// The node that produces `name`, if `name` has one consumer and is no output of the graph.
    fn exclusive_producer(&self, name: &str) -> Option<&'a Node> {
        let is_exclusive = self.consumers.get(name)?.len() == 1 && !self.graph.is_output(name);
        is_exclusive.then(|| self.producer(name)).flatten()
    }

    fn producer(&self, name: &str) -> Option<&'a Node> {
        Some(&self.graph.nodes[*self.producers.get(name)?])
    }

    /// The node whose output goes through the Relu that produces `name`.
    fn before_relu(&self, name: &str) -> Option<&'a Node> {
        let relu = self.exclusive_producer(name);
        let relu = relu.filter(|node| node.is("Relu"))?;
        self.exclusive_producer(relu.input(0))
    }

    /// The first convolution, whose rectified output is `name`, and the smaller picture whose convolution is added to it.
    fn expand(&self, name: &str) -> Option<(&'a Node, Option<(String, UpsampledInput)>)> {
        let node = self.before_relu(name)?;
        if node.is("Conv") {
            return Some((node, None));
        }
        let conv = self.exclusive_producer(node.input(0))?;
        let resize = self.exclusive_producer(node.input(1))?;
        if !node.is("Add") || !conv.is("Conv") || !resize.is("Resize") {
            return None;
        }
        let small_conv = self.exclusive_producer(resize.input(0))?;
        let weights = self.graph.initializer(small_conv.input(1))?;
        if !small_conv.is_pointwise(weights) || small_conv.inputs.len() > 2 {
            return None;
        }
        let grid = match resize.string("coordinate_transformation_mode") {
            Some(b"align_corners") => Grid::AlignCorners,
            None | Some(b"half_pixel") => Grid::HalfPixel,
            _ => return None,
        };
        let small = UpsampledInput {
            input: self.shape(small_conv.input(0))?,
            weights: weights.float_values()?,
            grid,
        };
        let [_, height, width] = self.shape(conv.input(0))?;
        let is_doubled = small.input[1..].iter().map(|n| 2 * n).eq([height, width]);
        let is_linear = resize.string("mode") == Some(b"linear");
        (is_doubled && is_linear).then(|| (conv, Some((small_conv.input(0).to_owned(), small))))
    }

    /// The node that adds `input` to the output of the convolution `project`, if that output goes nowhere else.
    fn residual(&self, project: usize, input: &str) -> Option<usize> {
        let output = self.graph.nodes[project].output();
        self.exclusive_producer(output)?;
        let at = *self.consumers.get(output)?.first()?;
        let add = &self.graph.nodes[at];
        let terms = [add.input(0), add.input(1)];
        let fits = add.is("Add") && (terms == [output, input] || terms == [input, output]);
        fits.then_some(at)
    }

    /// The constant weights of a convolution, and its bias, zeros if it has none.
    fn weights(&self, conv: &Node) -> Option<(&'a Tensor, Vec<f32>)> {
        let weights = self
            .graph
            .initializer(conv.input(1))
            .filter(|_| conv.is("Conv"))?;
        let bias = match conv.input(2) {
            "" => vec![0.0; *weights.dims.first()? as usize],
            name => self.graph.initializer(name)?.float_values()?,
        };
        Some((weights, bias))
    }

    /// Channels, height and width of a tensor with a batch of one.
    fn shape(&self, name: &str) -> Option<[usize; 3]> {
        let known = self.shapes.get(name).cloned();
        match known.or_else(|| self.graph.input_shape(name))?[..] {
            [1, c, h, w] => Some([c, h, w].map(|n| n as usize)),
            _ => None,
        }
    }
}

/// The stride of a depthwise 3x3 convolution with a padding of one.
fn depthwise_stride(node: &Node, weights: &Tensor) -> Option<usize> {
    let [channels, 1, 3, 3] = weights.dims[..] else {
        return None;
    };
    let is_dense = node
        .ints("dilations")
        .is_none_or(|dilations| dilations.iter().all(|&n| n == 1));
    let is_padded = node.ints("pads")?.iter().all(|&n| n == 1);
    if !is_dense || !is_padded || node.int("group") != Some(channels) {
        return None;
    }
    match node.ints("strides") {
        None | Some([1, 1]) => Some(1),
        Some([2, 2]) => Some(2),
        _ => None,
    }
}
