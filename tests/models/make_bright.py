"""Writes bright_generator.onnx: a generator that returns the picture it gets, 6 levels too bright.

Needs the Python package onnx. The file is in the project: run this only to change it.
"""
from pathlib import Path

from onnx import TensorProto, checker, helper, save

LEVELS = 6

picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 6, 320, 320])
sound = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["N", 32, 16, 16])
output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3, 320, 320])
constants = [
    helper.make_tensor("from", TensorProto.INT64, [1], [0]),
    helper.make_tensor("to", TensorProto.INT64, [1], [3]),
    helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
    helper.make_tensor("error", TensorProto.FLOAT, [1], [LEVELS / 255]),
]
nodes = [
    helper.make_node("Slice", ["input", "from", "to", "axis"], ["whole"]),
    helper.make_node("Add", ["whole", "error"], ["output"]),
]
graph = helper.make_graph(nodes, "bright", [picture, sound], [output], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
save(model, Path(__file__).with_name("bright_generator.onnx"))
