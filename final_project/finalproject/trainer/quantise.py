"""Weights and activations in 8 bits, with ranges chosen once.

Once, and not for each batch (`quantize_dynamic`): a text's scores would depend on the texts beside it. And weights in 7
of the 8 bits: where a processor has no VNNI, two products are added up in 16 bits and may not fit.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from finalproject.model import inputs


class Batches(CalibrationDataReader):  # type: ignore[misc]
    """Batches of texts of like length."""

    def __init__(self, texts: list[list[int]]) -> None:
        ordered = sorted(texts, key=len)
        self._batches = iter([ordered[at : at + 8] for at in range(0, len(ordered), 8)])

    def get_next(self) -> dict[str, NDArray[np.int64]] | None:
        texts = next(self._batches, None)
        return inputs(texts) if texts else None


def between_activations(network: onnx.ModelProto) -> Iterator[str]:
    """The products in attention, of two activations: an eighth of the time, and no weights to make smaller."""
    weights = {tensor.name for tensor in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type == "MatMul" and node.input[1] not in weights:
            yield node.name


def embeddings(network: onnx.ModelProto) -> Iterator[str]:
    """Tables that rows are looked up in: nothing is added up there, so all 8 bits can be used."""
    weights = {tensor.name for tensor in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type == "Gather" and node.input[0] in weights:
            yield node.input[0]


def quantise(network: Path, to: Path, texts: list[list[int]]) -> None:
    """Embeddings and linear layers; normalisation, GELU, softmax and the sums stay in float32."""
    graph = onnx.load(network)
    all_bits = [{"quant_type": QuantType.QInt8, "reduce_range": False, "symmetric": True}]
    quantize_static(
        network,
        to,
        Batches(texts),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_exclude=list(between_activations(graph)),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Gather"],
            "TensorQuantOverrides": dict.fromkeys(embeddings(graph), all_bits),
        },
    )
