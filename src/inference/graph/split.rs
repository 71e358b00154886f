//! Cutting a generator by what its nodes depend on: what needs only the picture is worked out once for each background.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::edit::Shapes;
use super::proto::{Graph, Model, Node, ValueInfo, dtype};

/// From so many multiplications for each byte of f32 on, a tensor is worth keeping rather than making again: the
/// 320x320x32 level of the full-width generator takes 4, all others take 100 and more.
const WORTH_KEEPING: f64 = 16.0;

/// A tensor that depends on the picture alone, and goes from one half of the network to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    /// With its batch of one.
    pub(crate) shape: Vec<i64>,
}

/// A network in parts.
#[derive(Debug, Clone)]
pub(crate) struct SplitGraph {
    /// Picture -> all features: those worth keeping, then the cheap ones.
    pub(crate) image: Model,
    /// Picture -> the cheap features alone, if there are any.
    pub(crate) cheap: Option<Model>,
    /// Features, sound, and the picture where parts of it pass through -> picture.
    pub(crate) joint: Model,
    pub(crate) kept: Vec<Feature>,
    pub(crate) remade: Vec<Feature>,
}

/// What a tensor depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Needs {
    picture: bool,
    sound: bool,
}

impl Needs {
    const PICTURE: Self = Self {
        picture: true,
        sound: false,
    };
    const SOUND: Self = Self {
        picture: false,
        sound: true,
    };

    fn and(self, other: Self) -> Self {
        Self {
            picture: self.picture || other.picture,
            sound: self.sound || other.sound,
        }
    }
}

/// Cuts `model`, which makes its one output of the inputs `picture` and `sound`; none if nothing would be gained.
/// `shapes` are those of its f32 tensors.
pub(crate) fn split(
    model: &Model,
    picture: &str,
    sound: &str,
    shapes: &Shapes,
) -> Result<Option<SplitGraph>> {
    let graph = model.graph()?;
    let needs = needs(graph, picture, sound);
    let of = |name: &str| needs.get(name).copied().unwrap_or_default();
    let joint_uses = |node: &&Node| of(node.output()).sound;
    let crosses = |name: &&String| of(name) == Needs::PICTURE && name.as_str() != picture;
    let mut seen = HashSet::new();
    let crossing = graph
        .nodes
        .iter()
        .filter(joint_uses)
        .flat_map(|node| node.inputs.iter().filter(crosses))
        .filter(|name| seen.insert(name.as_str()));
    let mut costs = Costs::new(graph, shapes);
    // In the graph's order, so that what an earlier one took is not counted again.
    let order: HashMap<&str, usize> = graph.makers();
    let mut crossing: Vec<&String> = crossing.collect();
    crossing.sort_by_key(|name| order.get(name.as_str()));
    let (mut kept, mut remade) = (Vec::new(), Vec::new());
    for name in crossing {
        let (Some(shape), multiplications) = (shapes.get(name), costs.take(name)) else {
            continue;
        };
        let feature = Feature {
            name: name.clone(),
            shape: shape.clone(),
        };
        let bytes = 4 * shape.iter().product::<i64>();
        // What costs nothing, such as a part of the picture, is left where it is.
        if multiplications as f64 >= WORTH_KEEPING * bytes as f64 {
            kept.push(feature);
        } else if multiplications > 0 {
            remade.push(feature);
        }
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let all: Vec<Feature> = kept.iter().chain(&remade).cloned().collect();
    let outputs = |features: &[Feature]| -> Vec<ValueInfo> {
        let one = |f: &Feature| ValueInfo::tensor(&f.name, dtype::FLOAT, &f.shape);
        features.iter().map(one).collect()
    };
    let part = |wanted: Vec<ValueInfo>, given: &[Feature]| {
        let mut part = graph.clone();
        part.inputs.extend(outputs(given));
        let given: HashSet<&str> = given.iter().map(|f| f.name.as_str()).collect();
        part.nodes.retain(|node| {
            !node
                .outputs
                .iter()
                .any(|name| given.contains(name.as_str()))
        });
        part.outputs = wanted;
        part.prune();
        model.with(part)
    };
    Ok(Some(SplitGraph {
        image: part(outputs(&all), &[]),
        cheap: (!remade.is_empty()).then(|| part(outputs(&remade), &[])),
        joint: part(graph.outputs.clone(), &all),
        kept,
        remade,
    }))
}

fn needs<'a>(graph: &'a Graph, picture: &'a str, sound: &'a str) -> HashMap<&'a str, Needs> {
    let mut needs = HashMap::from([(picture, Needs::PICTURE), (sound, Needs::SOUND)]);
    for node in &graph.nodes {
        let known = node
            .inputs
            .iter()
            .filter_map(|name| needs.get(name.as_str()));
        let all = known.fold(Needs::default(), |all, one| all.and(*one));
        needs.extend(node.outputs.iter().map(|name| (name.as_str(), all)));
    }
    needs
}

/// Multiplications in the nodes that a tensor needs, each counted for the first tensor that asks.
struct Costs<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    makers: HashMap<&'a str, usize>,
    counted: HashSet<usize>,
}

impl<'a> Costs<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes) -> Self {
        Self {
            graph,
            shapes,
            makers: graph.makers(),
            counted: HashSet::new(),
        }
    }

    fn take(&mut self, name: &str) -> i64 {
        let mut sum = 0;
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if let Some(&at) = self.makers.get(name)
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

/// Multiplications of a convolution or a product of matrices, whose second input is constant.
fn multiplications(node: &Node, graph: &Graph, shapes: &Shapes) -> Option<i64> {
    let weights = graph.constant(node.input(1))?;
    let out: i64 = shapes.get(node.output())?.iter().product();
    match node.op.as_str() {
        "Conv" => Some(out * weights.dims.iter().skip(1).product::<i64>()),
        "Gemm" | "MatMul" => {
            let columns = *shapes.get(node.output())?.last()?;
            Some(out * weights.dims.iter().product::<i64>() / columns.max(1))
        }
        _ => None,
    }
}
