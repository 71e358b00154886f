//! What ONNX Runtime does not report about an ONNX file: the exporter, the opset, the number and type of the weights.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::inference::graph::outline::Outline;

/// Facts from an ONNX file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The program that exported it: `pytorch 2.11`.
    pub(super) producer: String,
    /// Version of the default operator set; 0 if the file does not say.
    pub(super) opset: u64,
    /// Number of nodes in the graph.
    pub(super) nodes: usize,
    /// Number of weights of each type: `float32` -> 12 million.
    pub(super) weights: BTreeMap<&'static str, u64>,
}

impl Metadata {
    /// Decodes the bytes of a file; empty if they are not an ONNX model.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let model = Outline::decode(bytes).unwrap_or_default();
        let opset = model.opset();
        let producer = [model.producer_name, model.producer_version];
        let producer = producer.map(|text| String::from_utf8_lossy(&text).into_owned());
        let graph = model.graph.unwrap_or_default();
        let mut weights = BTreeMap::new();
        for tensor in &graph.initializers {
            *weights.entry(dtype(tensor.data_type)).or_default() += tensor.len();
        }
        Self {
            producer: producer.join(" ").trim().to_owned(),
            opset: u64::try_from(opset).unwrap_or_default(),
            nodes: graph.nodes.len(),
            weights,
        }
    }
}

/// NumPy's name of TensorProto.DataType.
fn dtype(data_type: i32) -> &'static str {
    match data_type {
        1 => "float32",
        2 => "uint8",
        3 => "int8",
        6 => "int32",
        7 => "int64",
        10 => "float16",
        11 => "float64",
        16 => "bfloat16",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_its_weights_and_garbage_says_nothing() {
        // Opset 17; a graph of one node and the weight [2, 300] in float16, its dimensions packed.
        let tensor = [10, 3, 2, 0xac, 2, 16, 10];
        let mut graph = vec![10, 0, 42, tensor.len() as u8];
        graph.extend(tensor);
        let mut file = vec![18, 2, b'p', b'y', 66, 2, 16, 17, 58, graph.len() as u8];
        file.extend(graph);
        let read = Metadata::read(&file);
        assert_eq!(
            (read.producer.as_str(), read.opset, read.nodes),
            ("py", 17, 1)
        );
        assert_eq!(read.weights, BTreeMap::from([("float16", 600)]));
        for end in 0..file.len() {
            Metadata::read(&file[..end]);
        }
        assert_eq!(Metadata::read(&[0xff; 40]), Metadata::default());
    }

    #[test]
    fn dimensions_may_be_unpacked_and_unknown_fields_are_skipped() {
        // The weight [2, 3] in int64, its dimensions one by one, with raw data; a version but no name of the exporter.
        let tensor = [8, 2, 8, 3, 16, 7, 74, 2, 0xff, 0xff];
        let mut file = vec![8, 10, 26, 1, b'3', 58, 2 + tensor.len() as u8];
        file.extend([42, tensor.len() as u8]);
        file.extend(tensor);
        let read = Metadata::read(&file);
        assert_eq!(read.producer, "3");
        assert_eq!(read.weights, BTreeMap::from([("int64", 6)]));
    }
}
