"""A network of ONNX while it is rewritten: its nodes in order, its weights by name."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Feed = dict[str, NDArray[np.int64]]  # inputs of the network by name
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operations


class Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph, self._opsets, self._version = model.graph, model.opset_import, model.ir_version
        self._nodes = [copy.deepcopy(node) for node in model.graph.node]
        for node in self._nodes:
            node.name = ""  # so that a copy of it need not find another
        self.weights: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }

    def nodes(self, *operations: str) -> list[onnx.NodeProto]:
        return [node for node in self._nodes if node.op_type in operations]

    def source(self, value: str) -> onnx.NodeProto | None:
        """The node that makes it; None: it is a weight, or comes from outside."""
        return next((node for node in self._nodes if value in node.output), None)

    def insert(self, before: onnx.NodeProto, *new: onnx.NodeProto) -> None:
        at = self._nodes.index(before)
        self._nodes[at:at] = new

    def replace(self, old: onnx.NodeProto, *new: onnx.NodeProto) -> None:
        self.insert(old, *new)
        self._nodes.remove(old)

    def model(self) -> onnx.ModelProto:
        """Without the nodes and weights that nothing uses any more."""
        used, nodes = {output.name for output in self._graph.output}, []
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        weights = [numpy_helper.from_array(weight, name) for name, weight in self.weights.items() if name in used]
        graph = helper.make_graph(nodes[::-1], "network", self._graph.input, self._graph.output, weights)
        opsets = [some for some in self._opsets if some.domain != MICROSOFT]
        return helper.make_model(
            graph, opset_imports=[*opsets, helper.make_opsetid(MICROSOFT, 1)], ir_version=self._version
        )


def axis(node: onnx.NodeProto) -> int:
    """Of an operation whose axis is 0 where it is not said, as Gather's."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def run(model: onnx.ModelProto, feeds: list[Feed], values: list[str]) -> Iterator[list[NDArray[np.float32]]]:
    """What these values are for each input: outputs, or such as lie between two nodes."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    between = set(values) - {output.name for output in model.graph.output}
    shown.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in between)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    for feed in feeds:
        yield session.run(values, feed)
