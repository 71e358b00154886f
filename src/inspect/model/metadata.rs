//! What an ONNX file says of itself and ONNX Runtime does not tell: operator sets, the types of the weights.
//!
//! The few fields are read straight from the protocol buffer (onnx.proto: ModelProto, GraphProto, TensorProto).

use std::collections::BTreeMap;

/// What stands in an ONNX file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Graph {
    /// The program that wrote it: `pytorch 2.11`.
    pub(super) producer: String,
    /// Version of the default operator set.
    pub(super) opset: u64,
    /// Nodes of the graph.
    pub(super) nodes: usize,
    /// Weights of each type: `float32` -> how many numbers.
    pub(super) weights: BTreeMap<&'static str, u64>,
}

impl Graph {
    /// Reads a file's bytes; what is not understood is left out.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut graph = Self::default();
        let mut version = String::new();
        for (field, value) in Fields(bytes) {
            match (field, value) {
                (2, Value::Bytes(name)) => graph.producer = String::from_utf8_lossy(name).into(),
                (3, Value::Bytes(text)) => version = String::from_utf8_lossy(text).into(),
                (7, Value::Bytes(inner)) => graph.read_graph(inner),
                (8, Value::Bytes(set)) => graph.read_opset(set),
                _ => (),
            }
        }
        if !version.is_empty() {
            graph.producer += " ";
            graph.producer += &version;
        }
        graph
    }

    fn read_opset(&mut self, bytes: &[u8]) {
        let (mut domain, mut version) = (&b""[..], 0);
        for field in Fields(bytes) {
            match field {
                (1, Value::Bytes(name)) => domain = name,
                (2, Value::Number(number)) => version = number,
                _ => (),
            }
        }
        if domain.is_empty() || domain == b"ai.onnx" {
            self.opset = version;
        }
    }

    fn read_graph(&mut self, bytes: &[u8]) {
        for field in Fields(bytes) {
            match field {
                (1, Value::Bytes(_)) => self.nodes += 1,
                (5, Value::Bytes(tensor)) => {
                    let (kind, count) = weight(tensor);
                    *self.weights.entry(kind).or_default() += count;
                }
                _ => (),
            }
        }
    }
}

/// Type and number of values of a TensorProto.
fn weight(bytes: &[u8]) -> (&'static str, u64) {
    let (mut kind, mut count) = ("other", 1_u64);
    for field in Fields(bytes) {
        match field {
            (1, Value::Number(size)) => count = count.saturating_mul(size),
            (1, Value::Bytes(packed)) => {
                let mut rest = packed;
                while let Some(size) = varint(&mut rest) {
                    count = count.saturating_mul(size);
                }
            }
            (2, Value::Number(number)) => {
                kind = match number {
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
            _ => (),
        }
    }
    (kind, count)
}

/// A field's value, as it is written.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes that nobody asks for.
    Fixed,
}

/// The fields of a message with their numbers; ends at the first that is not one.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn skip(&mut self, bytes: usize) -> Option<Value<'a>> {
        self.0 = self.0.get(bytes..)?;
        Some(Value::Fixed)
    }
}

/// Takes a number of seven bits a byte, the low ones first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_weights_and_nonsense_tells_nothing() {
        // opset 17; a graph of one node and the weight [2, 300] in float16, its dimensions packed.
        let tensor = [10, 3, 2, 0xac, 2, 16, 10];
        let mut graph = vec![10, 0, 42, tensor.len() as u8];
        graph.extend(tensor);
        let mut file = vec![18, 2, b'p', b'y', 66, 2, 16, 17, 58, graph.len() as u8];
        file.extend(graph);
        let read = Graph::read(&file);
        assert_eq!(
            (read.producer.as_str(), read.opset, read.nodes),
            ("py", 17, 1)
        );
        assert_eq!(read.weights, BTreeMap::from([("float16", 600)]));
        for end in 0..file.len() {
            Graph::read(&file[..end]);
        }
        assert_eq!(Graph::read(&[0xff; 40]), Graph::default());
    }
}
