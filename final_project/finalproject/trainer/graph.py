"""An ONNX model that can be rewritten: its nodes in order, and its weights by name.

A *node* is one operation. A *value* is a named input or output of nodes. See https://onnx.ai/onnx/intro/concepts.html
"""

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Inputs = dict[str, NDArray[np.int64]]  # of the model, by name
Pass = Callable[[onnx.ModelProto], onnx.ModelProto]  # a rewrite of a model
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operations


class Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph, self._opsets, self._ir_version = model.graph, model.opset_import, model.ir_version
        self._nodes = [copy.deepcopy(node) for node in model.graph.node]
        for node in self._nodes:
            node.name = ""  # names must be unique, and a pass may copy a node
        self.weights: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }

    def nodes(self, *operations: str) -> list[onnx.NodeProto]:
        return [node for node in self._nodes if node.op_type in operations]

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that computes the value. None: it is a weight or an input of the model."""
        return next((node for node in self._nodes if value in node.output), None)

    def insert(self, before: onnx.NodeProto, *new: onnx.NodeProto) -> None:
        index = self._nodes.index(before)
        self._nodes[index:index] = new

    def replace(self, old: onnx.NodeProto, *new: onnx.NodeProto) -> None:
        self.insert(old, *new)
        self._nodes.remove(old)

    def model(self) -> onnx.ModelProto:
        """The model, without the nodes and weights that no output depends on."""
        used, nodes = {output.name for output in self._graph.output}, []
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        weights = [numpy_helper.from_array(weight, name) for name, weight in self.weights.items() if name in used]
        graph = helper.make_graph(nodes[::-1], "model", self._graph.input, self._graph.output, weights)
        opsets = [opset for opset in self._opsets if opset.domain != MICROSOFT]
        return helper.make_model(
            graph, opset_imports=[*opsets, helper.make_opsetid(MICROSOFT, 1)], ir_version=self._ir_version
        )


def graph_pass(rewrite: Callable[[Graph], None]) -> Pass:
    """Makes a pass of a function that changes a graph in place."""

    @functools.wraps(rewrite)
    def apply(model: onnx.ModelProto) -> onnx.ModelProto:
        graph = Graph(model)
        rewrite(graph)
        return graph.model()

    return apply


def axis(node: onnx.NodeProto) -> int:
    """The attribute `axis` of a node, for operations whose default is 0, such as Gather."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def run(model: onnx.ModelProto, batches: list[Inputs], values: list[str]) -> Iterator[list[NDArray[np.float32]]]:
    """The values for each batch. They may be outputs of the model or of any node in it."""
    model_with_outputs = onnx.ModelProto()
    model_with_outputs.CopyFrom(model)
    inner = set(values) - {output.name for output in model.graph.output}
    new_outputs = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inner)
    model_with_outputs.graph.output.extend(new_outputs)
    session = onnxruntime.InferenceSession(model_with_outputs.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in batches:
        yield session.run(values, batch)
