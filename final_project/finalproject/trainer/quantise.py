"""Weights and activations in 8 bits, with ranges chosen once.

Once, and not for each batch (`quantize_dynamic`): a text's scores would depend on the texts beside it. And weights in 7
of the 8 bits: where a processor has no VNNI, two products are added up in 16 bits and may not fit. ONNX Runtime's own
`quantize_static` cannot do Attention, sends also what is only added through 8 bits, and turns the whole table of words
back into float32 for each call.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from finalproject.model import inputs

from .graph import MICROSOFT, Graph, axis, run

VALUE_STEPS = 255
WEIGHT_STEPS = 63  # on either side of 0: 7 bits
EMBEDDING_STEPS = 127  # the same, and all 8: nothing is added up there


def quantised(weight: NDArray[np.float32], steps: int, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The weight in steps, and the length of a step along the other axis."""
    step = np.abs(weight).max(axis, keepdims=True) / steps
    step[step == 0] = 1
    return np.round(weight / step).astype(np.int8), step.astype(np.float32)


def ranges(model: onnx.ModelProto, values: list[str], texts: list[list[int]]) -> dict[str, tuple[float, float]]:
    """From the least to the most that each value is. A text at a time: padding would have a say."""
    found = [
        [(value.min(), value.max()) for value in of_text]
        for of_text in run(model, [inputs([text]) for text in texts], values)
    ]
    extremes = np.array(found)  # (texts, values, 2)
    return dict(zip(values, zip(extremes[:, :, 0].min(0), extremes[:, :, 1].max(0), strict=True), strict=True))


def embeddings(graph: Graph) -> None:
    """Rows of 8 bits are looked up, and then multiplied by their steps."""
    for node in graph.nodes("Gather"):
        table, rows = node.input
        weight = graph.weights.get(table)
        if weight is not None and weight.ndim == 2 and weight.dtype == np.float32 and not axis(node):
            found = f"{node.output[0]}_row"
            graph.weights[f"{table}_rows"], graph.weights[f"{table}_steps"] = quantised(weight, EMBEDDING_STEPS, 1)
            graph.replace(
                node,
                helper.make_node("Gather", [f"{table}_rows", rows], [f"{found}_int8"]),
                helper.make_node("Cast", [f"{found}_int8"], [f"{found}_whole"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Gather", [f"{table}_steps", rows], [f"{found}_step"]),
                helper.make_node("Mul", [f"{found}_whole", f"{found}_step"], node.output),
            )


def quantise(model: onnx.ModelProto, texts: list[list[int]]) -> onnx.ModelProto:
    """Embeddings, linear layers and those of attention; the head, norms, GELU, softmax and sums stay in float32."""
    graph = Graph(model)
    layers = [
        node
        for node in graph.nodes("Attention", "MatMul")
        if node.input[1] in graph.weights and len(node.input) == (2 if node.op_type == "MatMul" else 4)
    ]
    found = ranges(model, sorted({node.input[0] for node in layers}), texts)
    for value, (least, most) in found.items():
        length = (max(most, 0) - min(least, 0)) / VALUE_STEPS or 1
        graph.weights[f"{value}_step"] = np.array(length, np.float32)
        graph.weights[f"{value}_zero"] = np.array(round(-min(least, 0) / length), np.uint8)
        user = next(node for node in layers if node.input[0] == value)
        parts = [value, f"{value}_step", f"{value}_zero"]
        graph.insert(user, helper.make_node("QuantizeLinear", parts, [f"{value}_int8"]))
    for node in layers:
        value, weight, *more = node.input
        eight, step = quantised(graph.weights[weight], WEIGHT_STEPS, 0)
        graph.weights[f"{weight}_int8"], graph.weights[f"{weight}_step"] = eight, step[0]
        parts = [f"{value}_int8", f"{weight}_int8", f"{value}_step", f"{weight}_step", f"{value}_zero"]
        if node.op_type == "MatMul":
            new = helper.make_node("MatMulIntegerToFloat", parts, node.output, domain=MICROSOFT)
        else:
            bias, mask = more
            parts[2:2], parts[5:5] = [bias], [mask]
            new = helper.make_node("QAttention", parts, node.output, domain=MICROSOFT)
            new.attribute.extend(some for some in node.attribute if some.name != "qkv_hidden_sizes")
        graph.replace(node, new)
    embeddings(graph)
    return graph.model()
