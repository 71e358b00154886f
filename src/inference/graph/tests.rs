//! The steps on the smallest graphs that have what they look for. What the results compute is tested on real networks.

use super::edit::Shapes;
use super::fold::remove_empty_pads;
use super::fuse::{BLOCK, extract_blocks, fuse};
use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, attribute_type, data_type};
use super::quantize::{self, BYTE_BLOCK, Statistics, areas, quantize};
use super::reorder::move_convolutions;
use super::split::{SplitGraph, split};
use crate::inference::kernel::Grid;

/// input -> skip; audio -> deep -> upsampled -> padded by nothing; both concatenated -> mixed -> output.
fn model() -> Model {
    let weights = |name: &str, dims: [i64; 4]| {
        let count = dims.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|n| (n % 7) as f32 - 3.0).collect();
        Tensor::of_floats(name, &dims, &values)
    };
    let mut resize = Node::new("Resize", &["deep", "", "scales"], "large");
    resize.attributes.push(Attribute {
        name: "mode".into(),
        string: Some(b"linear".to_vec()),
        kind: attribute_type::STRING,
        ..Attribute::default()
    });
    let nodes = vec![
        Node::new("Conv", &["input", "w.skip"], "skip"),
        Node::new("Conv", &["audio", "w.deep"], "deep"),
        resize,
        Node::new("Pad", &["large", "pads"], "padded"),
        Node::new("Concat", &["padded", "skip"], "both").with(Attribute::of_int("axis", 1)),
        Node::new("Conv", &["both", "w.mix"], "mixed"),
        Node::new("Relu", &["mixed"], "rectified"),
        Node::new("Conv", &["rectified", "w.last"], "output"),
    ];
    let pads = Tensor {
        name: "pads".into(),
        dims: vec![8],
        data_type: data_type::INT64,
        int64s: vec![0; 8],
        ..Tensor::default()
    };
    let graph = Graph {
        nodes,
        initializers: vec![
            weights("w.skip", [16, 6, 5, 5]),
            weights("w.deep", [4, 32, 1, 1]),
            weights("w.mix", [5, 20, 1, 1]),
            weights("w.last", [3, 5, 1, 1]),
            Tensor::of_floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]),
            pads,
        ],
        inputs: vec![
            ValueInfo::tensor("input", data_type::FLOAT, &[1, 6, 32, 32]),
            ValueInfo::tensor("audio", data_type::FLOAT, &[1, 32, 16, 16]),
        ],
        outputs: vec![ValueInfo::tensor(
            "output",
            data_type::FLOAT,
            &[1, 3, 32, 32],
        )],
        ..Graph::default()
    };
    Model::default().with_graph(graph)
}

fn shapes() -> Shapes {
    let of = [
        ("skip", [1, 16, 32, 32]),
        ("deep", [1, 4, 16, 16]),
        ("large", [1, 4, 32, 32]),
        ("padded", [1, 4, 32, 32]),
        ("both", [1, 20, 32, 32]),
        ("mixed", [1, 5, 32, 32]),
        ("rectified", [1, 5, 32, 32]),
        ("output", [1, 3, 32, 32]),
    ];
    of.map(|(name, shape)| (name.to_owned(), shape.to_vec()))
        .into()
}

fn parts() -> SplitGraph {
    let mut model = model();
    remove_empty_pads(&mut model).unwrap();
    split(&model, "input", "audio", &shapes()).unwrap().unwrap()
}

fn operators(model: &Model) -> Vec<&str> {
    let nodes = model.graph().unwrap().nodes.iter();
    nodes.map(|node| node.op_type.as_str()).collect()
}

#[test]
fn a_model_is_read_as_it_was_written() {
    use prost::Message as _;
    let model = model();
    assert!(Model::parse(&model.encode_to_vec()).unwrap() == model);
    assert!(Model::parse(b"no model").is_err());
}

#[test]
fn empty_pads_are_removed() {
    let mut model = model();
    remove_empty_pads(&mut model).unwrap();
    assert!(!operators(&model).contains(&"Pad"));
    let concat = &model.graph().unwrap().nodes[3];
    assert_eq!(concat.inputs, ["large", "skip"]);
}

#[test]
fn what_depends_on_the_picture_alone_is_split_off() {
    let split = parts();
    assert_eq!(split.costly.len(), 1);
    assert_eq!(split.costly[0].name, "skip");
    assert!(split.cheap.is_empty() && split.cheap_image.is_none());
    assert_eq!(operators(&split.image), ["Conv"]);
    let joint = split.joint.graph().unwrap();
    assert_eq!(joint.input_names(), ["audio", "skip"]);
    assert!(joint.initializer("w.skip").is_none());
}

#[test]
fn a_convolution_moves_before_the_upsample() {
    let mut split = parts();
    assert_eq!(move_convolutions(&mut split.joint, &shapes()).unwrap(), 1);
    let graph = split.joint.graph().unwrap();
    assert_eq!(
        operators(&split.joint),
        ["Conv", "Conv", "Resize", "Conv", "Add", "Relu", "Conv"]
    );
    // Of the twenty channels, the first four are the upsample's.
    let weights = |name: &str| graph.initializer(name).unwrap();
    assert_eq!(weights("reordered0.deep").dims, [5, 4, 1, 1]);
    assert_eq!(weights("reordered0.skip").dims, [5, 16, 1, 1]);
    let (all, deep) = (model(), weights("reordered0.deep").float_values().unwrap());
    let all = all
        .graph()
        .unwrap()
        .initializer("w.mix")
        .unwrap()
        .float_values()
        .unwrap();
    assert_eq!(deep[..8], [&all[..4], &all[20..24]].concat());
}

/// The same graph with a block in place of the convolution and its Relu.
fn with_block() -> (SplitGraph, Shapes) {
    let mut model = model();
    let graph = model.graph_mut().unwrap();
    let depthwise = Node::new("Conv", &["a", "w.depthwise"], "b.raw")
        .with(Attribute::of_int("group", 8))
        .with(Attribute::of_ints("pads", &[1; 4]));
    let block = [
        Node::new("Conv", &["both", "w.expand"], "a.raw"),
        Node::new("Relu", &["a.raw"], "a"),
        depthwise,
        Node::new("Relu", &["b.raw"], "b"),
        Node::new("Conv", &["b", "w.project"], "rectified"),
    ];
    graph.nodes.splice(5..7, block);
    let mode = graph.nodes[2].attributes[0].clone();
    graph.nodes[2].attributes.push(Attribute {
        name: "coordinate_transformation_mode".into(),
        string: Some(b"align_corners".to_vec()),
        ..mode
    });
    let weights = |name: &str, dims: &[i64]| {
        let values: Vec<f32> = (0..dims.iter().product())
            .map(|n: i64| (n % 5) as f32 - 1.0)
            .collect();
        Tensor::of_floats(name, dims, &values)
    };
    graph.initializers.extend([
        weights("w.expand", &[8, 20, 1, 1]),
        weights("w.depthwise", &[8, 1, 3, 3]),
        weights("w.project", &[5, 8, 1, 1]),
    ]);
    let mut shapes = shapes();
    for name in ["a.raw", "a", "b.raw", "b"] {
        shapes.insert(name.into(), vec![1, 8, 32, 32]);
    }
    remove_empty_pads(&mut model).unwrap();
    let split = split(&model, "input", "audio", &shapes).unwrap().unwrap();
    (split, shapes)
}

/// Statistics of a network with `shapes` whose tensors' values rise from 0 to 1, channel by channel.
fn statistics(shapes: &Shapes) -> Statistics {
    let mut statistics = Statistics::default();
    for (name, shape) in shapes {
        let count = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> = (0..count).map(|n| n as f32 / count as f32).collect();
        statistics.add(name, shape, &values);
    }
    statistics
}

#[test]
fn large_blocks_are_quantized_and_their_features_are_bytes() {
    let (split, shapes) = with_block();
    assert_eq!(areas(&split, &shapes).unwrap(), [0]);
    let mut quantized = quantize(&split, &shapes, &statistics(&shapes), 0).unwrap();
    assert_eq!(
        operators(&quantized.joint),
        ["Conv", "Transpose", BYTE_BLOCK]
    );
    assert_eq!(
        operators(&quantized.image),
        ["Conv", "QuantizeLinear", "Transpose"]
    );
    let image = quantized.image.graph().unwrap();
    assert_eq!(image.outputs[0].name, "skip.bytes");
    let joint = quantized.joint.graph().unwrap();
    assert_eq!(joint.input_names(), ["audio", "skip.bytes"]);
    assert_eq!(joint.nodes[2].inputs[..2], ["deep.last", "skip.bytes"]);
    assert_eq!(joint.nodes[2].outputs, ["output"], "the head is in it");
    let scale = image
        .initializer("skip.scale")
        .unwrap()
        .float_values()
        .unwrap();
    assert!(scale[0] < scale[15], "each channel has a scale of its own");
    let (name, spec) = quantize::extract_blocks(&mut quantized.joint)
        .unwrap()
        .remove(0);
    assert_eq!(name, "rectified.last");
    assert_eq!((spec.skip_channels, spec.input.factor.len()), (16, 4));
    assert_eq!((spec.size.height, spec.size.width), (32, 32));
    let (small, grid) = spec.upsample.unwrap();
    assert_eq!(
        (small.height, small.width, grid),
        (16, 16, Grid::AlignCorners)
    );
    assert_eq!(spec.output_conv.unwrap().bias, [0.0; 3]);
    let joint = quantized.joint.graph().unwrap();
    assert!(
        joint.initializer("w.deep").is_some(),
        "weights of the runtime's nodes stay"
    );
    assert_eq!(joint.nodes[2].inputs.len(), 2, "its weights are extracted");
}

#[test]
fn small_blocks_and_those_without_statistics_stay_f32() {
    let (split, shapes) = with_block();
    let is_float = |quantized: &SplitGraph| {
        !operators(&quantized.joint).contains(&BYTE_BLOCK)
            && operators(&quantized.image) == ["Conv"]
            && quantized.joint.graph().unwrap().input_names() == ["audio", "skip"]
    };
    let small = quantize(&split, &shapes, &statistics(&shapes), 1024).unwrap();
    assert!(is_float(&small));
    let fewer: Shapes = (shapes.clone().into_iter())
        .filter(|(name, _)| name != "b")
        .collect();
    let partial = quantize(&split, &shapes, &statistics(&fewer), 0).unwrap();
    assert!(is_float(&partial));
}

#[test]
fn nodes_are_sorted_by_their_inputs() {
    let mut graph = model().graph().unwrap().clone();
    let sorted = graph.clone();
    graph.nodes.reverse();
    graph.sort();
    let produced: Vec<&str> = graph.nodes.iter().map(Node::output).collect();
    for (at, node) in graph.nodes.iter().enumerate() {
        let of_nodes = |name: &&String| sorted.nodes.iter().any(|n| n.output() == name.as_str());
        let needs = node.inputs.iter().filter(of_nodes);
        assert!(
            needs
                .into_iter()
                .all(|name| produced[..at].contains(&name.as_str()))
        );
    }
    assert_eq!(produced.len(), sorted.nodes.len());
}

/// x -> expand -> Relu -> depthwise -> Relu -> project -> sum with x.
fn block() -> Model {
    let weights = |name: &str, dims: &[i64]| {
        let values: Vec<f32> = (0..dims.iter().product()).map(|n: i64| n as f32).collect();
        Tensor::of_floats(name, dims, &values)
    };
    let depthwise = Node::new("Conv", &["a", "w.depthwise", "b"], "b.raw")
        .with(Attribute::of_int("group", 8))
        .with(Attribute::of_ints("pads", &[1; 4]))
        .with(Attribute::of_ints("strides", &[1, 1]));
    let nodes = vec![
        Node::new("Conv", &["x", "w.expand", "b"], "a.raw"),
        Node::new("Relu", &["a.raw"], "a"),
        depthwise,
        Node::new("Relu", &["b.raw"], "b.out"),
        Node::new("Conv", &["b.out", "w.project"], "c"),
        Node::new("Add", &["c", "x"], "y"),
    ];
    let graph = Graph {
        nodes,
        initializers: vec![
            weights("w.expand", &[8, 4, 1, 1]),
            weights("w.depthwise", &[8, 1, 3, 3]),
            weights("w.project", &[4, 8, 1, 1]),
            weights("b", &[8]),
        ],
        inputs: vec![ValueInfo::tensor("x", data_type::FLOAT, &[1, 4, 6, 10])],
        outputs: vec![ValueInfo::tensor("y", data_type::FLOAT, &[1, 4, 6, 10])],
        ..Graph::default()
    };
    Model::default().with_graph(graph)
}

#[test]
fn a_block_becomes_one_node() {
    let mut model = block();
    assert_eq!(fuse(&mut model, &Shapes::new()).unwrap(), 1);
    assert_eq!(operators(&model), [BLOCK]);
    assert_eq!(model.opset_imports.len(), 1, "its domain is declared");
    let layers = extract_blocks(&mut model).unwrap().remove(0).1;
    assert_eq!((layers.input, layers.output()), ([4, 6, 10], [4, 6, 10]));
    assert!(layers.residual && layers.upsampled_input.is_none());
    assert_eq!((layers.stride, layers.project_bias), (1, vec![0.0; 4]));
    assert_eq!(layers.depthwise[71], 71.0);
    let graph = model.graph().unwrap();
    assert_eq!(graph.nodes[0].inputs, ["x"]);
    assert!(graph.initializers.is_empty(), "its weights are extracted");
}

#[test]
fn a_block_includes_the_upsampled_picture_that_is_added_to_it() {
    let mut model = block();
    let graph = model.graph_mut().unwrap();
    let mut resize = Node::new("Resize", &["small.raw", "", "scales"], "large");
    let string = |name: &str, string: &[u8]| Attribute {
        name: name.into(),
        string: Some(string.to_vec()),
        kind: attribute_type::STRING,
        ..Attribute::default()
    };
    resize.attributes = vec![
        string("mode", b"linear"),
        string("coordinate_transformation_mode", b"align_corners"),
    ];
    graph.nodes[1] = Node::new("Relu", &["sum"], "a");
    let new = [
        Node::new("Conv", &["small", "w.small"], "small.raw"),
        resize,
        Node::new("Add", &["a.raw", "large"], "sum"),
    ];
    graph.nodes.splice(1..1, new);
    let weights = Tensor::of_floats("w.small", &[8, 2, 1, 1], &[0.5; 16]);
    graph.initializers.push(weights);
    let small = ValueInfo::tensor("small", data_type::FLOAT, &[1, 2, 3, 5]);
    graph.inputs.push(small);
    assert_eq!(fuse(&mut model, &Shapes::new()).unwrap(), 1);
    let layers = extract_blocks(&mut model).unwrap().remove(0).1;
    assert_eq!(layers.upsampled_input.unwrap().input, [2, 3, 5]);
    assert_eq!(model.graph().unwrap().nodes[0].inputs, ["x", "small"]);
}

#[test]
fn what_is_not_quite_a_block_stays() {
    let left = |change: &dyn Fn(&mut Graph)| {
        let mut model = block();
        change(model.graph_mut().unwrap());
        fuse(&mut model, &Shapes::new()).unwrap() == 0
    };
    let output = |name: &str| ValueInfo::tensor(name, data_type::FLOAT, &[1, 8, 6, 10]);
    assert!(left(&|graph| graph.outputs.push(output("a"))));
    assert!(left(&|graph| graph.outputs.push(output("b.raw"))));
    assert!(left(&|graph| graph.nodes[1].op_type = "Tanh".into()));
    assert!(left(&|graph| graph.nodes[2]
        .attributes
        .remove(1)
        .ints
        .clear()));
    let pads = |graph: &mut Graph| graph.nodes[2].attributes[1].ints = vec![1, 1, 0, 0];
    assert!(left(&pads));
    assert!(left(&|graph| graph.inputs[0] = ValueInfo::untyped("x")));
    // A sum with something else stays after the block.
    let mut model = block();
    let graph = model.graph_mut().unwrap();
    graph.nodes[5].inputs[1] = "other".into();
    graph
        .inputs
        .push(ValueInfo::tensor("other", data_type::FLOAT, &[1, 4, 6, 10]));
    assert_eq!(fuse(&mut model, &Shapes::new()).unwrap(), 1);
    assert_eq!(operators(&model), [BLOCK, "Add"]);
}
