"""Static quantization to int8: a quantized number is round(number / scale) + zero point.

*Static*: calibration chooses the scale of each activation once. With dynamic quantization each batch has another
scale, so the scores of a text would depend on the other texts of its batch.
Weights use 7 of the 8 bits. A processor without VNNI instructions adds two products in 16 bits, which could overflow.
ONNX Runtime's `quantize_static` does not support Attention, quantizes values that are only added, and converts the
whole embedding table to float32 in every inference. See https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from finalproject.model import inputs

from .graph import MICROSOFT, Graph, axis, run

ACTIVATION_LEVELS = 255  # uint8: 0 to 255
WEIGHT_LEVELS = 63  # 7 bits: -63 to 63
EMBEDDING_LEVELS = 127  # 8 bits: -127 to 127; embeddings are not multiplied


def quantize_weight(
    weight: NDArray[np.float32], levels: int, axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The weight in int8, and its scale: one number for each index of the other axis. The zero point is 0."""
    scale = np.abs(weight).max(axis, keepdims=True) / levels
    scale[scale == 0] = 1
    return np.round(weight / scale).astype(np.int8), scale.astype(np.float32)


def calibrate(model: onnx.ModelProto, values: list[str], texts: list[list[int]]) -> dict[str, tuple[float, float]]:
    """Min-max calibration: minimum and maximum of each value over the texts. Batches of one text have no padding."""
    extremes = np.array(
        [
            [(array.min(), array.max()) for array in arrays]
            for arrays in run(model, [inputs([text]) for text in texts], values)
        ]
    )  # (texts, values, 2)
    return dict(zip(values, zip(extremes[:, :, 0].min(0), extremes[:, :, 1].max(0), strict=True), strict=True))


def quantize_activation(graph: Graph, value: str, minimum: float, maximum: float, before: onnx.NodeProto) -> None:
    """Adds the scale and the zero point of the value, and the node that quantizes it."""
    minimum, maximum = min(minimum, 0), max(maximum, 0)  # 0 must be exact
    scale = (maximum - minimum) / ACTIVATION_LEVELS or 1
    graph.weights[f"{value}_scale"] = np.array(scale, np.float32)
    graph.weights[f"{value}_zero_point"] = np.array(round(-minimum / scale), np.uint8)
    names = [value, f"{value}_scale", f"{value}_zero_point"]
    graph.insert(before, helper.make_node("QuantizeLinear", names, [f"{value}_int8"]))


def quantize_layer(graph: Graph, node: onnx.NodeProto) -> None:
    """Replaces a linear or attention layer by the operator for a quantized input and a quantized weight."""
    value, weight, *others = node.input
    int8, scale = quantize_weight(graph.weights[weight], WEIGHT_LEVELS, 0)
    graph.weights[f"{weight}_int8"], graph.weights[f"{weight}_scale"] = int8, scale[0]
    names = [f"{value}_int8", f"{weight}_int8", f"{value}_scale", f"{weight}_scale", f"{value}_zero_point"]
    if node.op_type == "MatMul":
        new = helper.make_node("MatMulIntegerToFloat", names, node.output, domain=MICROSOFT)
    else:
        bias, mask = others
        names[2:2], names[5:5] = [bias], [mask]
        new = helper.make_node("QAttention", names, node.output, domain=MICROSOFT)
        new.attribute.extend(attribute for attribute in node.attribute if attribute.name != "qkv_hidden_sizes")
    graph.replace(node, new)


def quantize_embeddings(graph: Graph) -> None:
    """Looks up rows of int8, and multiplies only these by their scales."""
    for node in graph.nodes("Gather"):
        table, rows = node.input
        weight = graph.weights.get(table)
        if weight is not None and weight.ndim == 2 and weight.dtype == np.float32 and not axis(node):
            int8, scale = f"{table}_int8", f"{table}_scale"
            graph.weights[int8], graph.weights[scale] = quantize_weight(weight, EMBEDDING_LEVELS, 1)
            row = f"{node.output[0]}_row"
            graph.replace(
                node,
                helper.make_node("Gather", [int8, rows], [f"{row}_int8"]),
                helper.make_node("Cast", [f"{row}_int8"], [f"{row}_float"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Gather", [scale, rows], [f"{row}_scale"]),
                helper.make_node("Mul", [f"{row}_float", f"{row}_scale"], node.output),
            )


def quantize(model: onnx.ModelProto, texts: list[list[int]]) -> onnx.ModelProto:
    """Quantizes embeddings, linear layers and attention's linear layers. `texts`: the tokens of the calibration set.

    The classification head, normalization, GELU, softmax and sums stay in float32.
    """
    graph = Graph(model)
    layers = [
        node
        for node in graph.nodes("Attention", "MatMul")
        if node.input[1] in graph.weights and len(node.input) == (2 if node.op_type == "MatMul" else 4)
    ]
    ranges = calibrate(model, sorted({node.input[0] for node in layers}), texts)
    for value, (minimum, maximum) in ranges.items():
        first_layer = next(node for node in layers if node.input[0] == value)
        quantize_activation(graph, value, minimum, maximum, first_layer)
    for node in layers:
        quantize_layer(graph, node)
    quantize_embeddings(graph)
    return graph.model()
