//! What is read is written back, whatever it is.

use prost::Message;
use prost::encoding::{self, WireType};

use super::Model;
use super::message::UnknownFields;

/// The messages of the standard (onnx.proto, IR version 14): each field's number and type, with `*` behind those that
/// may come several times.
const STANDARD: [(&str, &str); 26] = [
    (
        "Model",
        "1 int 2 text 3 text 4 text 5 int 6 text 7 Graph 8 OperatorSetId* 14 StringStringEntry* 20 TrainingInfo* 25 Function* 26 DeviceConfiguration*",
    ),
    ("OperatorSetId", "1 text 2 int"),
    ("StringStringEntry", "1 text 2 text"),
    (
        "TrainingInfo",
        "1 Graph 2 Graph 3 StringStringEntry* 4 StringStringEntry*",
    ),
    (
        "Function",
        "1 text 4 text* 5 text* 6 text* 7 Node* 8 text 9 OperatorSetId* 10 text 11 Attribute* 12 ValueInfo* 13 text 14 StringStringEntry*",
    ),
    ("DeviceConfiguration", "1 text 2 int 3 text*"),
    (
        "Graph",
        "1 Node* 2 text 5 Tensor* 10 text 11 ValueInfo* 12 ValueInfo* 13 ValueInfo* 14 TensorAnnotation* 15 SparseTensor* 16 StringStringEntry*",
    ),
    (
        "Node",
        "1 text* 2 text* 3 text 4 text 5 Attribute* 6 text 7 text 8 text 9 StringStringEntry* 10 NodeDeviceConfiguration*",
    ),
    ("NodeDeviceConfiguration", "1 text 2 ShardingSpec* 3 int"),
    (
        "ShardingSpec",
        "1 text 2 int* 3 IntIntListEntry* 4 ShardedDim*",
    ),
    ("IntIntListEntry", "1 int 2 int*"),
    ("ShardedDim", "1 int 2 SimpleShardedDim*"),
    ("SimpleShardedDim", "1 int 2 text 3 int"),
    (
        "Attribute",
        "1 text 2 float 3 int 4 bytes 5 Tensor 6 Graph 7 float* 8 int* 9 bytes* 10 Tensor* 11 Graph* 13 text 14 Type 15 Type* 20 int 21 text 22 SparseTensor 23 SparseTensor*",
    ),
    (
        "Tensor",
        "1 int* 2 int 3 Segment 4 floats 5 ints 6 bytes* 7 ints 8 text 9 bytes 10 doubles 11 ints 12 text 13 StringStringEntry* 14 int 16 StringStringEntry*",
    ),
    ("Segment", "1 int 2 int"),
    ("SparseTensor", "1 Tensor 2 Tensor 3 int*"),
    ("TensorAnnotation", "1 text 2 StringStringEntry*"),
    ("ValueInfo", "1 text 2 Type 3 text 4 StringStringEntry*"),
    (
        "Type",
        "1 TensorType 4 Sequence 5 Map 6 text 7 Opaque 8 TensorType 9 Sequence",
    ),
    ("TensorType", "1 int 2 Shape"),
    ("Sequence", "1 Type"),
    ("Map", "1 int 2 Type"),
    ("Opaque", "1 text 2 text"),
    ("Shape", "1 Dim*"),
    ("Dim", "1 int 2 text 3 text"),
];

/// Writes messages that have every field of the standard, with values that are all different.
#[derive(Default)]
struct Sampler {
    /// The messages around the one that is written: a message that holds its own kind would never end.
    path: Vec<&'static str>,
    count: i64,
    /// Also writes fields that are in no standard.
    with_unknown: bool,
    messages: std::collections::BTreeSet<&'static str>,
}

impl Sampler {
    fn message(&mut self, name: &'static str) -> Vec<u8> {
        self.path.push(name);
        self.messages.insert(name);
        let (_, fields) = STANDARD
            .iter()
            .find(|(message, _)| *message == name)
            .unwrap();
        let words: Vec<&'static str> = fields.split(' ').collect();
        let mut bytes = Vec::new();
        for field in words.chunks_exact(2) {
            let tag = field[0].parse().unwrap();
            let times = if field[1].ends_with('*') { 2 } else { 1 };
            for _ in 0..times {
                self.field(tag, field[1].trim_end_matches('*'), &mut bytes);
            }
        }
        if self.with_unknown {
            self.count += 1;
            encoding::uint64::encode(500, &(self.count as u64), &mut bytes);
            encoding::fixed32::encode(501, &7, &mut bytes);
            encoding::fixed64::encode(502, &8, &mut bytes);
            encoding::string::encode(19_000, &format!("new{}", self.count), &mut bytes);
            encoding::encode_key(503, WireType::StartGroup, &mut bytes);
            encoding::bytes::encode(1, &vec![1_u8, 2], &mut bytes);
            encoding::encode_key(503, WireType::EndGroup, &mut bytes);
        }
        self.path.pop();
        bytes
    }

    fn field(&mut self, tag: u32, kind: &'static str, bytes: &mut Vec<u8>) {
        self.count += 1;
        let n = self.count;
        match kind {
            "int" => encoding::int64::encode(tag, &n, bytes),
            "ints" => encoding::int64::encode_packed(tag, &[n, 1 << 30], bytes),
            "float" => encoding::float::encode(tag, &(n as f32), bytes),
            "floats" => encoding::float::encode_packed(tag, &[n as f32, 0.5], bytes),
            "doubles" => encoding::double::encode_packed(tag, &[n as f64, 0.5], bytes),
            "text" => encoding::string::encode(tag, &format!("text{n}"), bytes),
            "bytes" => encoding::bytes::encode(tag, &vec![0xff, n as u8], bytes),
            message if self.path.contains(&message) => {}
            message => {
                let inner = self.message(message);
                encoding::bytes::encode(tag, &inner, bytes);
            }
        }
    }
}

fn is_kept(bytes: &[u8]) -> bool {
    let model = Model::decode(bytes).unwrap();
    assert_eq!(model.encoded_len(), bytes.len());
    model.encode_to_vec() == bytes
}

#[test]
fn every_field_of_the_standard_is_declared_and_survives() {
    let mut sampler = Sampler::default();
    let bytes = sampler.message("Model");
    assert_eq!(sampler.messages.len(), 26, "every message has its turn");
    assert!(is_kept(&bytes));
    let model = Model::decode(bytes.as_slice()).unwrap();
    // A field that is not declared would be among the unknown ones, whose bytes a debug print shows.
    let printed = format!("{model:?}");
    assert!(printed.matches("unknown: UnknownFields([])").count() > 1000);
    assert!(!printed.contains("UnknownFields([1"), "{printed:.500}");
    assert_eq!(
        printed.matches("UnknownFields(").count(),
        printed.matches("UnknownFields([])").count()
    );
}

#[test]
fn fields_that_no_standard_knows_survive_in_every_message() {
    let mut sampler = Sampler {
        with_unknown: true,
        ..Sampler::default()
    };
    let bytes = sampler.message("Model");
    assert_eq!(sampler.messages.len(), 26);
    assert!(is_kept(&bytes));
    let model = Model::decode(bytes.as_slice()).unwrap();
    assert!(!format!("{model:?}").contains("UnknownFields([])"));
}

#[test]
fn numbers_are_read_packed_and_one_by_one() {
    let numbers = [3_i64, 1 << 40];
    let mut packed = Vec::new();
    encoding::int64::encode_packed(1, &numbers, &mut packed);
    let mut single = Vec::new();
    encoding::int64::encode_repeated(1, &numbers, &mut single);
    for bytes in [packed, single] {
        assert_eq!(
            super::Tensor::decode(bytes.as_slice()).unwrap().dims,
            numbers
        );
    }
}

#[test]
fn networks_have_no_unknown_fields_and_are_read_again_as_they_were() {
    for path in [
        "models/ada/generator.onnx",
        "models/ada/audio_encoder.onnx",
        "tests/golden/models/tiny_generator.onnx",
        "tests/golden/models/tiny_audio_encoder.onnx",
    ] {
        let bytes = std::fs::read(path).unwrap();
        let model = Model::decode(bytes.as_slice()).unwrap();
        // Not byte by byte: exporters write some fields that have their default value.
        let again = Model::decode(model.encode_to_vec().as_slice()).unwrap();
        assert!(model == again, "{path}");
        assert!(model.unknown == UnknownFields::default(), "{path}");
        assert!(!model.graph.unwrap().nodes.is_empty(), "{path}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let mut bytes = Sampler::default().message("Model");
    bytes.truncate(bytes.len() - 1);
    assert!(Model::decode(bytes.as_slice()).is_err());
    // A value that ends before its length, and the end of a group that never began.
    assert!(Model::decode(&[0xa2, 0x1f, 9, 1][..]).is_err());
    assert!(Model::decode(&[0xa4, 0x1f][..]).is_err());
}
