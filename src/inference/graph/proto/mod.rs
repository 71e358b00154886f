//! The ONNX file format: the messages of onnx.proto up to IR version 14, with the standard's field numbers.
//!
//! A network that is read and written again keeps every field, even those that a newer version of the standard adds.

mod message;
#[cfg(test)]
mod tests;

use message::{field, messages};

messages! {
    /// `ModelProto`: a file.
    Model {
        1 ir_version: int64 one i64,
        2 producer_name: string one String,
        3 producer_version: string one String,
        4 domain: string one String,
        5 version: int64 one i64,
        6 doc_string: string one String,
        7 graph: message optional Option<Graph>,
        8 opset_imports: message repeated Vec<OperatorSetId>,
        14 metadata_props: message repeated Vec<StringStringEntry>,
        20 training_infos: message repeated Vec<TrainingInfo>,
        25 functions: message repeated Vec<Function>,
        26 configurations: message repeated Vec<DeviceConfiguration>,
    }

    /// `OperatorSetIdProto`: a set of operators that a model uses; the standard's has an empty domain.
    OperatorSetId {
        1 domain: string one String,
        2 version: int64 one i64,
    }

    /// `StringStringEntryProto`.
    StringStringEntry {
        1 key: string one String,
        2 value: string one String,
    }

    /// `TrainingInfoProto`.
    TrainingInfo {
        1 initialization: message optional Option<Graph>,
        2 algorithm: message optional Option<Graph>,
        3 initialization_bindings: message repeated Vec<StringStringEntry>,
        4 update_bindings: message repeated Vec<StringStringEntry>,
    }

    /// `FunctionProto`: an operator that is made of others.
    Function {
        1 name: string one String,
        4 inputs: string repeated Vec<String>,
        5 outputs: string repeated Vec<String>,
        6 attributes: string repeated Vec<String>,
        7 nodes: message repeated Vec<Node>,
        8 doc_string: string one String,
        9 opset_imports: message repeated Vec<OperatorSetId>,
        10 domain: string one String,
        11 default_attributes: message repeated Vec<Attribute>,
        12 value_infos: message repeated Vec<ValueInfo>,
        13 overload: string one String,
        14 metadata_props: message repeated Vec<StringStringEntry>,
    }

    /// `DeviceConfigurationProto`.
    DeviceConfiguration {
        1 name: string one String,
        2 device_count: int32 one i32,
        3 devices: string repeated Vec<String>,
    }

    /// `GraphProto`: nodes, in an order in which each comes after those whose outputs it takes.
    Graph {
        1 nodes: message repeated Vec<Node>,
        2 name: string one String,
        5 initializers: message repeated Vec<Tensor>,
        10 doc_string: string one String,
        11 inputs: message repeated Vec<ValueInfo>,
        12 outputs: message repeated Vec<ValueInfo>,
        13 value_infos: message repeated Vec<ValueInfo>,
        14 quantization_annotations: message repeated Vec<TensorAnnotation>,
        15 sparse_initializers: message repeated Vec<SparseTensor>,
        16 metadata_props: message repeated Vec<StringStringEntry>,
    }

    /// `NodeProto`: an operator with the names of the tensors it takes and gives.
    Node {
        1 inputs: string repeated Vec<String>,
        2 outputs: string repeated Vec<String>,
        3 name: string one String,
        4 op_type: string one String,
        5 attributes: message repeated Vec<Attribute>,
        6 doc_string: string one String,
        7 domain: string one String,
        8 overload: string one String,
        9 metadata_props: message repeated Vec<StringStringEntry>,
        10 device_configurations: message repeated Vec<NodeDeviceConfiguration>,
    }

    /// `NodeDeviceConfigurationProto`.
    NodeDeviceConfiguration {
        1 configuration_id: string one String,
        2 sharding_specs: message repeated Vec<ShardingSpec>,
        3 pipeline_stage: int32 optional Option<i32>,
    }

    /// `ShardingSpecProto`.
    ShardingSpec {
        1 tensor_name: string one String,
        2 devices: int64 repeated Vec<i64>,
        3 device_groups: message repeated Vec<IntIntListEntry>,
        4 sharded_dims: message repeated Vec<ShardedDim>,
    }

    /// `IntIntListEntryProto`.
    IntIntListEntry {
        1 key: int64 one i64,
        2 values: int64 repeated Vec<i64>,
    }

    /// `ShardedDimProto`.
    ShardedDim {
        1 axis: int64 one i64,
        2 simple_shardings: message repeated Vec<SimpleShardedDim>,
    }

    /// `SimpleShardedDimProto`.
    SimpleShardedDim {
        1 size: int64 optional Option<i64>,
        2 symbol: string optional Option<String>,
        3 shard_count: int64 one i64,
    }

    /// `AttributeProto`: a parameter of a node.
    Attribute {
        1 name: string one String,
        2 float: float optional Option<f32>,
        3 int: int64 optional Option<i64>,
        4 string: bytes optional Option<Vec<u8>>,
        5 tensor: message optional Option<Tensor>,
        6 graph: message optional Option<Graph>,
        7 floats: float repeated Vec<f32>,
        8 ints: int64 repeated Vec<i64>,
        9 strings: bytes repeated Vec<Vec<u8>>,
        10 tensors: message repeated Vec<Tensor>,
        11 graphs: message repeated Vec<Graph>,
        13 doc_string: string one String,
        14 value_type: message optional Option<Type>,
        15 value_types: message repeated Vec<Type>,
        20 kind: int32 one i32,
        21 ref_attr_name: string one String,
        22 sparse_tensor: message optional Option<SparseTensor>,
        23 sparse_tensors: message repeated Vec<SparseTensor>,
    }

    /// `TensorProto`: a constant.
    Tensor {
        1 dims: int64 repeated Vec<i64>,
        2 data_type: int32 one i32,
        3 segment: message optional Option<Segment>,
        4 floats: float packed Vec<f32>,
        5 int32s: int32 packed Vec<i32>,
        6 strings: bytes repeated Vec<Vec<u8>>,
        7 int64s: int64 packed Vec<i64>,
        8 name: string one String,
        9 raw_data: bytes optional Option<Vec<u8>>,
        10 doubles: double packed Vec<f64>,
        11 uint64s: uint64 packed Vec<u64>,
        12 doc_string: string one String,
        13 external_data: message repeated Vec<StringStringEntry>,
        14 data_location: int32 optional Option<i32>,
        16 metadata_props: message repeated Vec<StringStringEntry>,
    }

    /// `TensorProto.Segment`.
    Segment {
        1 begin: int64 one i64,
        2 end: int64 one i64,
    }

    /// `SparseTensorProto`.
    SparseTensor {
        1 values: message optional Option<Tensor>,
        2 indices: message optional Option<Tensor>,
        3 dims: int64 repeated Vec<i64>,
    }

    /// `TensorAnnotation`.
    TensorAnnotation {
        1 tensor_name: string one String,
        2 quantization_parameters: message repeated Vec<StringStringEntry>,
    }

    /// `ValueInfoProto`: a tensor that a graph takes or gives.
    ValueInfo {
        1 name: string one String,
        2 value_type: message optional Option<Type>,
        3 doc_string: string one String,
        4 metadata_props: message repeated Vec<StringStringEntry>,
    }

    /// `TypeProto`: one of these types.
    Type {
        1 tensor: message optional Option<TensorType>,
        4 sequence: message optional Option<ElementType>,
        5 map: message optional Option<MapType>,
        6 denotation: string one String,
        7 opaque: message optional Option<OpaqueType>,
        8 sparse_tensor: message optional Option<TensorType>,
        9 optional: message optional Option<ElementType>,
    }

    /// `TypeProto.Tensor` and `TypeProto.SparseTensor`.
    TensorType {
        1 elem_type: int32 one i32,
        2 shape: message optional Option<Shape>,
    }

    /// `TypeProto.Sequence` and `TypeProto.Optional`.
    ElementType {
        1 elem_type: message optional Option<Box<Type>>,
    }

    /// `TypeProto.Map`.
    MapType {
        1 key_type: int32 one i32,
        2 value_type: message optional Option<Box<Type>>,
    }

    /// `TypeProto.Opaque`.
    OpaqueType {
        1 domain: string one String,
        2 name: string one String,
    }

    /// `TensorShapeProto`.
    Shape {
        1 dims: message repeated Vec<Dim>,
    }

    /// `TensorShapeProto.Dimension`: a size, a symbol, or neither.
    Dim {
        1 size: int64 optional Option<i64>,
        2 symbol: string optional Option<String>,
        3 denotation: string one String,
    }
}

/// `AttributeProto.AttributeType`.
pub(crate) mod attribute_type {
    pub(crate) const INT: i32 = 2;
    #[cfg(test)]
    pub(crate) const STRING: i32 = 3;
    pub(crate) const INTS: i32 = 7;
}

/// `TensorProto.DataType`.
pub(crate) mod data_type {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const FLOAT16: i32 = 10;
    pub(crate) const BFLOAT16: i32 = 16;
}

/// `TensorProto.DataLocation`.
pub(crate) mod data_location {
    pub(crate) const EXTERNAL: i32 = 1;
}
