//! Splits a generator by what its nodes depend on: what depends on the picture alone is computed once per background.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::edit::Shapes;
use super::proto::{Graph, Model, Node, ValueInfo, data_type};

/// Multiplications per byte of f32 from which on a tensor is worth caching rather than computing again: the 320x320x32
/// level of the full-width generator takes 4, all others take 100 and more.
const MIN_COST_PER_BYTE: f64 = 16.0;

/// A tensor that depends on the picture alone and that the joint part takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    /// With its batch of one.
    pub(crate) shape: Vec<i64>,
}

/// A network in parts.
#[derive(Debug, Clone)]
pub(crate) struct SplitGraph {
    /// Picture -> all features, the costly ones first.
    pub(crate) image: Model,
    /// Picture -> the cheap features alone, if there are any.
    pub(crate) cheap_image: Option<Model>,
    /// Features, audio, and the picture where parts of it pass through -> picture.
    pub(crate) joint: Model,
    /// Features that are worth caching.
    pub(crate) costly: Vec<Feature>,
    /// Features that are cheap to compute again where memory is short.
    pub(crate) cheap: Vec<Feature>,
}

/// Which of the network's inputs a tensor depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Dependencies {
    picture: bool,
    audio: bool,
}

impl Dependencies {
    const PICTURE: Self = Self {
        picture: true,
        audio: false,
    };
    const AUDIO: Self = Self {
        picture: false,
        audio: true,
    };

    fn and(self, other: Self) -> Self {
        Self {
            picture: self.picture || other.picture,
            audio: self.audio || other.audio,
        }
    }
}

/// Splits `model`, which computes its one output from the inputs `picture` and `audio`; none if nothing would be gained.
/// `shapes` are those of its f32 tensors.
pub(crate) fn split(
    model: &Model,
    picture: &str,
    audio: &str,
    shapes: &Shapes,
) -> Result<Option<SplitGraph>> {
    let graph = model.graph()?;
    let (costly, cheap) = features(graph, picture, audio, shapes);
    if costly.is_empty() {
        return Ok(None);
    }
    let all: Vec<Feature> = costly.iter().chain(&cheap).cloned().collect();
    let infos = |features: &[Feature]| -> Vec<ValueInfo> {
        let info = |f: &Feature| ValueInfo::tensor(&f.name, data_type::FLOAT, &f.shape);
        features.iter().map(info).collect()
    };
    let part = |outputs: Vec<ValueInfo>, inputs: &[Feature]| {
        let mut part = graph.clone();
        part.inputs.extend(infos(inputs));
        let inputs: HashSet<&str> = inputs.iter().map(|f| f.name.as_str()).collect();
        let is_input = |name: &String| inputs.contains(name.as_str());
        part.nodes.retain(|node| !node.outputs.iter().any(is_input));
        part.outputs = outputs;
        part.prune();
        model.with_graph(part)
    };
    Ok(Some(SplitGraph {
        image: part(infos(&all), &[]),
        cheap_image: (!cheap.is_empty()).then(|| part(infos(&cheap), &[])),
        joint: part(graph.outputs.clone(), &all),
        costly,
        cheap,
    }))
}

/// The features that are worth caching, and those that are cheap to compute again.
fn features(
    graph: &Graph,
    picture: &str,
    audio: &str,
    shapes: &Shapes,
) -> (Vec<Feature>, Vec<Feature>) {
    let dependencies = dependencies(graph, picture, audio);
    let of = |name: &str| dependencies.get(name).copied().unwrap_or_default();
    let is_joint = |node: &&Node| of(node.output()).audio;
    let crosses = |name: &&String| of(name) == Dependencies::PICTURE && name.as_str() != picture;
    let mut found = HashSet::new();
    let crossing = graph
        .nodes
        .iter()
        .filter(is_joint)
        .flat_map(|node| node.inputs.iter().filter(crosses))
        .filter(|name| found.insert(name.as_str()));
    let mut costs = Costs::new(graph, shapes);
    // In the graph's order, so that nodes which an earlier feature needs are not counted again.
    let order: HashMap<&str, usize> = graph.producers();
    let mut crossing: Vec<&String> = crossing.collect();
    crossing.sort_by_key(|name| order.get(name.as_str()));
    let (mut costly, mut cheap) = (Vec::new(), Vec::new());
    for name in crossing {
        let (Some(shape), multiplications) = (shapes.get(name), costs.count(name)) else {
            continue;
        };
        let feature = Feature {
            name: name.clone(),
            shape: shape.clone(),
        };
        let bytes = 4 * shape.iter().product::<i64>();
        // What costs nothing, such as a part of the picture, stays in the joint part.
        if multiplications as f64 >= MIN_COST_PER_BYTE * bytes as f64 {
            costly.push(feature);
        } else if multiplications > 0 {
            cheap.push(feature);
        }
    }
    (costly, cheap)
}

/// What each tensor depends on.
fn dependencies<'a>(
    graph: &'a Graph,
    picture: &'a str,
    audio: &'a str,
) -> HashMap<&'a str, Dependencies> {
    let mut dependencies = HashMap::from([
        (picture, Dependencies::PICTURE),
        (audio, Dependencies::AUDIO),
    ]);
    for node in &graph.nodes {
        let inputs = node
            .inputs
            .iter()
            .filter_map(|name| dependencies.get(name.as_str()));
        let all = inputs.fold(Dependencies::default(), |all, one| all.and(*one));
        dependencies.extend(node.outputs.iter().map(|name| (name.as_str(), all)));
    }
    dependencies
}

/// Multiplications in the nodes that a tensor needs, each node counted for the first tensor that needs it.
struct Costs<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    producers: HashMap<&'a str, usize>,
    counted: HashSet<usize>,
}

impl<'a> Costs<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes) -> Self {
        Self {
            graph,
            shapes,
            producers: graph.producers(),
            counted: HashSet::new(),
        }
    }

    fn count(&mut self, name: &str) -> i64 {
        let mut sum = 0;
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if let Some(&at) = self.producers.get(name)
                && self.counted.insert(at)
            {
                let node = &self.graph.nodes[at];
                sum += multiplications(node, self.graph, self.shapes).unwrap_or(0);
                open.extend(node.inputs.iter().map(String::as_str));
            }
        }
        sum
    }
}

/// Multiplications of a convolution or a matrix product whose second input is constant.
fn multiplications(node: &Node, graph: &Graph, shapes: &Shapes) -> Option<i64> {
    let weights = graph.initializer(node.input(1))?;
    let output: i64 = shapes.get(node.output())?.iter().product();
    match node.op_type.as_str() {
        "Conv" => Some(output * weights.dims.iter().skip(1).product::<i64>()),
        "Gemm" | "MatMul" => {
            let columns = *shapes.get(node.output())?.last()?;
            Some(output * weights.dims.iter().product::<i64>() / columns.max(1))
        }
        _ => None,
    }
}
