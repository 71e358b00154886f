//! Layers that are computed here rather than by ONNX Runtime, because several of them in one pass over the picture need
//! its memory once.

pub(crate) mod eight;
