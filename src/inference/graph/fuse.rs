//! An inverted residual block as one node, which `kernel` computes without ever writing down what lies between its layers.
//!
//! ```text
//! Conv 1x1 -> Relu -> Conv 3x3 (each channel alone) -> Relu -> Conv 1x1 [-> Add of what came in]   becomes   Block
//! ```
//!
//! Where [`super::commute`] moved a part of the first convolution before an upsample, the block takes that part, too.

use anyhow::{Context as _, Result};

use super::edit::Shapes;
use super::proto::{Attribute, Graph, Model, Node, Opset, Tensor};
use crate::inference::kernel::{Grid, Layers, UpsampledInput};

/// The domain of operators that are no part of the standard.
pub(crate) const DOMAIN: &str = "lipsync";
/// The operator. Its inputs are the picture and, if something is added to the expanded picture, that smaller one; what it
/// computes is known by its name ([`take`]). In a file, weights and bias of expand, depthwise and project follow, then the
/// smaller picture's weights.
pub(crate) const BLOCK: &str = "Block";
/// Its attribute for the shape of its output.
pub(crate) const OUTPUT: &str = "output";
/// Attributes that [`take`] reads: the shape of the picture, and of the smaller one, without batch; ..
const INPUT: &str = "input";
const BESIDE: &str = "beside";
/// .. 1 if the small picture's corners lie on the large one's, 0 if their edges do; ..
pub(crate) const CORNERS: &str = "corners";
/// .. the step of the depthwise convolution; and whether the picture is added to what comes out.
pub(crate) const STRIDE: &str = "stride";
pub(crate) const RESIDUAL: &str = "residual";

/// Replaces the blocks of `model`, whose tensors have `shapes`, and tells how many there were.
pub(crate) fn fuse(model: &mut Model, shapes: &Shapes) -> Result<usize> {
    let graph = model.graph_mut()?;
    let mut count = 0;
    while let Some(block) = blocks(graph, shapes).into_iter().next() {
        replace(graph, &block, count);
        count += 1;
    }
    graph.prune();
    if count > 0 {
        with_own_operators(model);
    }
    Ok(count)
}

/// Says in `model` that it has operators that are no part of the standard.
pub(crate) fn with_own_operators(model: &mut Model) {
    if !model.opsets.iter().any(|opset| opset.domain == DOMAIN) {
        model.opsets.push(Opset {
            domain: DOMAIN.into(),
            version: 1,
        });
    }
}

/// A block of a graph.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The number of the node that makes its output.
    pub(crate) last: usize,
    /// The tensors that come in: the picture, and the smaller one.
    pub(crate) input: String,
    pub(crate) beside: Option<String>,
    /// What its first two layers make, rectified.
    pub(crate) inner: [String; 2],
    pub(crate) layers: Layers,
}

/// The blocks of `graph`.
pub(crate) fn blocks(graph: &Graph, shapes: &Shapes) -> Vec<Found> {
    let search = Search::new(graph, shapes);
    (0..graph.nodes.len())
        .filter_map(|project| search.block(project))
        .collect()
}

struct Search<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    makers: std::collections::HashMap<&'a str, usize>,
    users: std::collections::HashMap<&'a str, Vec<usize>>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes) -> Self {
        Self {
            graph,
            shapes,
            makers: graph.makers(),
            users: graph.users(),
        }
    }

    /// The block whose last convolution is node `project`.
    fn block(&self, project: usize) -> Option<Found> {
        let node = &self.graph.nodes[project];
        let (weights, bias) = self.weights(node)?;
        if !node.is_pointwise(weights) {
            return None;
        }
        let depthwise = self.behind_relu(node.input(0))?;
        let (filters, filters_bias) = self.weights(depthwise)?;
        let stride = neighbours(depthwise, filters)?;
        let (expand, beside) = self.expand(depthwise.input(0))?;
        let (expand_weights, expand_bias) = self.weights(expand)?;
        if !expand.is_pointwise(expand_weights) {
            return None;
        }
        let input = expand.input(0);
        let shape = self.shape(input)?;
        let (last, residual) = match self.residual(project, input) {
            Some(add) if stride == 1 => (add, true),
            _ => (project, false),
        };
        let layers = Layers {
            input: shape,
            expand: expand_weights.values()?,
            expand_bias,
            upsampled_input: beside.as_ref().map(|(_, small)| small.clone()),
            depthwise: filters.values()?,
            depthwise_bias: filters_bias,
            stride,
            project: weights.values()?,
            project_bias: bias,
            residual,
        };
        layers.check().ok()?;
        Some(Found {
            last,
            input: input.to_owned(),
            beside: beside.map(|(name, _)| name),
            inner: [depthwise.input(0), node.input(0)].map(str::to_owned),
            layers,
        })
    }

    /// The node that makes `name`, which nothing else than one other node uses.
    fn private(&self, name: &str) -> Option<&'a Node> {
        let alone = self.users.get(name)?.len() == 1 && !self.graph.gives(name);
        alone.then(|| self.maker(name)).flatten()
    }

    fn maker(&self, name: &str) -> Option<&'a Node> {
        Some(&self.graph.nodes[*self.makers.get(name)?])
    }

    /// What is rectified to `name`.
    fn behind_relu(&self, name: &str) -> Option<&'a Node> {
        let relu = self.private(name).filter(|node| node.is("Relu"))?;
        self.private(relu.input(0))
    }

    /// The convolution that is rectified to `name`, and what is added to it.
    fn expand(&self, name: &str) -> Option<(&'a Node, Option<(String, UpsampledInput)>)> {
        let node = self.behind_relu(name)?;
        if node.is("Conv") {
            return Some((node, None));
        }
        let [one, other] = [node.input(0), node.input(1)];
        let (conv, resize) = (self.private(one)?, self.private(other)?);
        if !node.is("Add") || !conv.is("Conv") || !resize.is("Resize") {
            return None;
        }
        let small = self.private(resize.input(0))?;
        let weights = self.graph.constant(small.input(1))?;
        if !small.is_pointwise(weights) || small.inputs.len() > 2 {
            return None;
        }
        let grid = match resize.text("coordinate_transformation_mode") {
            Some(b"align_corners") => Grid::AlignCorners,
            None | Some(b"half_pixel") => Grid::HalfPixel,
            _ => return None,
        };
        let beside = UpsampledInput {
            input: self.shape(small.input(0))?,
            weights: weights.values()?,
            grid,
        };
        let twice = |n: &usize| 2 * n;
        let large = self.shape(conv.input(0))?;
        let doubled = beside.input[1..].iter().map(twice).eq(large[1..].to_vec());
        let linear = resize.text("mode") == Some(b"linear");
        (doubled && linear).then(|| (conv, Some((small.input(0).to_owned(), beside))))
    }

    /// The sum of the convolution `project` and `input`, if that is all it goes to.
    fn residual(&self, project: usize, input: &str) -> Option<usize> {
        let made = self.graph.nodes[project].output();
        self.private(made)?;
        let at = *self.users.get(made)?.first()?;
        let add = &self.graph.nodes[at];
        let terms = [add.input(0), add.input(1)];
        let fits = add.is("Add") && (terms == [made, input] || terms == [input, made]);
        fits.then_some(at)
    }

    /// Constant weights of a convolution, and its bias, which may be left out.
    fn weights(&self, conv: &Node) -> Option<(&'a Tensor, Vec<f32>)> {
        let weights = self
            .graph
            .constant(conv.input(1))
            .filter(|_| conv.is("Conv"))?;
        let bias = match conv.input(2) {
            "" => vec![0.0; *weights.dims.first()? as usize],
            name => self.graph.constant(name)?.values()?,
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

/// The step of a 3x3 convolution in each channel alone with a border of one.
fn neighbours(node: &Node, weights: &Tensor) -> Option<usize> {
    let [channels, 1, 3, 3] = weights.dims[..] else {
        return None;
    };
    let all = |name: &str, value: i64| node.ints(name)?.iter().all(|&v| v == value).then_some(());
    let plain = node
        .ints("dilations")
        .is_none_or(|d| d.iter().all(|&v| v == 1));
    (plain && node.int("group") == Some(channels)).then_some(())?;
    all("pads", 1)?;
    match node.ints("strides") {
        None | Some([1, 1]) => Some(1),
        Some([2, 2]) => Some(2),
        _ => None,
    }
}

fn replace(graph: &mut Graph, found: &Found, number: usize) {
    let Found {
        last,
        input,
        beside,
        layers,
        ..
    } = found;
    let whole = |shape: [usize; 3]| shape.map(|n| n as i64);
    let [out, height, width] = whole(layers.output());
    let (middle, channels) = (layers.middle() as i64, layers.input[0] as i64);
    let mut weights = vec![
        ("expand", vec![middle, channels], &layers.expand),
        ("expand.bias", vec![middle], &layers.expand_bias),
        ("depthwise", vec![middle, 9], &layers.depthwise),
        ("depthwise.bias", vec![middle], &layers.depthwise_bias),
        ("project", vec![out, middle], &layers.project),
        ("project.bias", vec![out], &layers.project_bias),
    ];
    let inputs: Vec<&str> = [Some(input), beside.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let mut node = Node {
        domain: DOMAIN.into(),
        ..Node::new(BLOCK, &inputs, graph.nodes[*last].output())
    }
    .with(Attribute::of_ints(OUTPUT, &[1, out, height, width]))
    .with(Attribute::of_ints(INPUT, &whole(layers.input)))
    .with(Attribute::of_int(STRIDE, layers.stride as i64))
    .with(Attribute::of_int(RESIDUAL, layers.residual.into()));
    if let Some(small) = &layers.upsampled_input {
        let shape = vec![middle, small.input[0] as i64];
        weights.push(("beside", shape, &small.weights));
        let corners = i64::from(small.grid == Grid::AlignCorners);
        node = node
            .with(Attribute::of_ints(BESIDE, &whole(small.input)))
            .with(Attribute::of_int(CORNERS, corners));
    }
    for (what, shape, values) in weights {
        let name = format!("block{number}.{what}");
        let tensor = Tensor::of_floats(&name, &shape, values);
        graph.constants.push(tensor);
        node.inputs.push(name);
    }
    graph.nodes[*last] = node;
    // What only the replaced nodes needed goes, so that no other block is found in it.
    graph.prune();
}

/// Takes the weights of all blocks out of `model`: what each node computes, by its name.
pub(crate) fn take(model: &mut Model) -> Result<Vec<(String, Layers)>> {
    let graph = model.graph_mut()?;
    let mut taken = Vec::new();
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        if node.domain == DOMAIN && node.op == BLOCK {
            let layers = layers(graph, node);
            let layers = layers.with_context(|| format!("block `{}` is incomplete", node.name))?;
            taken.push((node.name.clone(), layers));
            let node = &mut graph.nodes[at];
            let pictures = 1 + usize::from(node.ints(BESIDE).is_some());
            node.inputs.truncate(pictures);
        }
    }
    graph.prune();
    Ok(taken)
}

/// What a node computes whose weights are still there.
fn layers(graph: &Graph, node: &Node) -> Option<Layers> {
    let pictures = 1 + usize::from(node.ints(BESIDE).is_some());
    let weights = |n: usize| graph.constant(node.input(pictures + n))?.values();
    let shape = |name: &str| match node.ints(name)? {
        &[c, h, w] => Some([c, h, w].map(|n| n as usize)),
        _ => None,
    };
    let beside = match shape(BESIDE) {
        Some(input) => Some(UpsampledInput {
            input,
            weights: weights(6)?,
            grid: if node.int(CORNERS)? == 1 {
                Grid::AlignCorners
            } else {
                Grid::HalfPixel
            },
        }),
        None => None,
    };
    Some(Layers {
        input: shape(INPUT)?,
        expand: weights(0)?,
        expand_bias: weights(1)?,
        upsampled_input: beside,
        depthwise: weights(2)?,
        depthwise_bias: weights(3)?,
        stride: node.int(STRIDE)? as usize,
        project: weights(4)?,
        project_bias: weights(5)?,
        residual: node.int(RESIDUAL)? == 1,
    })
}
