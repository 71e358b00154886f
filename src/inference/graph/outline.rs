//! The outline of an ONNX file: everything but the values of its weights, which are skipped and not copied.
//!
//! Text is decoded as bytes: files with invalid UTF-8 are read too.

use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outline {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) producer_name: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) producer_version: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphOutline>,
    #[prost(message, repeated, tag = "8")]
    opsets: Vec<Opset>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionOutline>,
}

impl Outline {
    /// Version of the standard's operators; 0 if the file does not say.
    pub(crate) fn opset(&self) -> i64 {
        let is_standard = |opset: &&Opset| opset.domain.is_empty() || opset.domain == b"ai.onnx";
        let opset = self.opsets.iter().rfind(is_standard);
        opset.map_or(0, |opset| opset.version)
    }

    /// All constants, also those of branches, loops and functions.
    pub(crate) fn tensors(&self) -> Vec<&TensorOutline> {
        let mut tensors = Vec::new();
        if let Some(graph) = &self.graph {
            graph.collect_tensors(&mut tensors);
        }
        for node in self.functions.iter().flat_map(|function| &function.nodes) {
            node.collect_tensors(&mut tensors);
        }
        tensors
    }
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(bytes = "vec", tag = "1")]
    domain: Vec<u8>,
    #[prost(int64, tag = "2")]
    version: i64,
}

/// `FunctionProto`.
#[derive(Clone, PartialEq, Message)]
struct FunctionOutline {
    #[prost(message, repeated, tag = "7")]
    nodes: Vec<NodeOutline>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphOutline {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<NodeOutline>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializers: Vec<TensorOutline>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) inputs: Vec<ValueOutline>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) outputs: Vec<ValueOutline>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializers: Vec<SparseOutline>,
}

impl GraphOutline {
    fn collect_tensors<'a>(&'a self, tensors: &mut Vec<&'a TensorOutline>) {
        tensors.extend(&self.initializers);
        for sparse in &self.sparse_initializers {
            sparse.collect_tensors(tensors);
        }
        for node in &self.nodes {
            node.collect_tensors(tensors);
        }
    }
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeOutline {
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<AttributeOutline>,
}

impl NodeOutline {
    fn collect_tensors<'a>(&'a self, tensors: &mut Vec<&'a TensorOutline>) {
        for attribute in &self.attributes {
            tensors.extend(attribute.tensor.iter().chain(&attribute.tensors));
            for sparse in attribute.sparse.iter().chain(&attribute.sparses) {
                sparse.collect_tensors(tensors);
            }
            for graph in attribute
                .graph
                .as_deref()
                .into_iter()
                .chain(&attribute.graphs)
            {
                graph.collect_tensors(tensors);
            }
        }
    }
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
struct AttributeOutline {
    #[prost(message, optional, tag = "5")]
    tensor: Option<TensorOutline>,
    #[prost(message, optional, boxed, tag = "6")]
    graph: Option<Box<GraphOutline>>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorOutline>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphOutline>,
    #[prost(message, optional, tag = "22")]
    sparse: Option<SparseOutline>,
    #[prost(message, repeated, tag = "23")]
    sparses: Vec<SparseOutline>,
}

/// `SparseTensorProto`.
#[derive(Clone, PartialEq, Message)]
struct SparseOutline {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorOutline>,
    #[prost(message, optional, tag = "2")]
    indices: Option<TensorOutline>,
}

impl SparseOutline {
    fn collect_tensors<'a>(&'a self, tensors: &mut Vec<&'a TensorOutline>) {
        tensors.extend(self.values.iter().chain(&self.indices));
    }
}

/// `TensorProto`, without its values.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorOutline {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(bytes = "vec", tag = "8")]
    name: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

impl TensorOutline {
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Number of values.
    pub(crate) fn len(&self) -> u64 {
        let dims = self.dims.iter();
        dims.fold(1, |len: u64, &dim| len.saturating_mul(dim.max(0) as u64))
    }

    /// The file that holds its values, as the network writes it, if they are in another file.
    pub(crate) fn location(&self) -> Option<String> {
        let is_external = self.data_location == super::proto::data_location::EXTERNAL;
        let mut entries = self.external_data.iter().filter(|_| is_external);
        let location = entries.find(|entry| entry.key == b"location")?;
        Some(String::from_utf8_lossy(&location.value).into_owned())
    }
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueOutline {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    value_type: Option<TypeOutline>,
}

impl ValueOutline {
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// `TensorProto.DataType`; 0 if it is not a tensor.
    pub(crate) fn data_type(&self) -> i32 {
        let tensor = self.value_type.as_ref().and_then(|t| t.tensor.as_ref());
        tensor.map_or(0, |tensor| tensor.data_type)
    }
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
struct TypeOutline {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorTypeOutline>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, Copy, PartialEq, Message)]
struct TensorTypeOutline {
    #[prost(int32, tag = "1")]
    data_type: i32,
}
