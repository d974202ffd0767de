"""Operator fusion: rewrites an ONNX model into fewer and faster operators of ONNX Runtime.

A *pass* is one kind of rewrite. It is kept only if the logits stay the same, because a pass that fits one architecture
may not fit another. See https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
"""

import copy
import logging
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxscript import ir
from onnxscript.rewriter.ort_fusions import optimize_for_ort

from .graph import Graph, Inputs, Pass, axis, graph_pass, run

# operators that compute each token without the other tokens
PER_TOKEN = ("Add", "BiasGelu", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Sum")
logger = logging.getLogger(__name__)


def fuse_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces the parts of attention, of GELU, and of addition with normalization by one operator each."""
    return ir.to_proto(optimize_for_ort(ir.from_proto(model))[0])


@graph_pass
def fold_concatenated_weights(graph: Graph) -> None:
    """Constant folding: concatenates the weights of query, key and value now, not in every inference."""
    for node in graph.nodes("Concat"):
        if all(name in graph.weights for name in node.input):
            graph.weights[node.output[0]] = np.concatenate([graph.weights[name] for name in node.input], axis(node))
            graph.replace(node)


@graph_pass
def split_skip_layer_normalization(graph: Graph) -> None:
    """SkipLayerNormalization takes 5 times as long as Sum and LayerNormalization. (ONNX Runtime fuses Add again.)"""
    for node in graph.nodes("SkipLayerNormalization"):
        value, skip, weight, shift, *bias = node.input
        total = f"{node.output[0]}_sum"
        epsilon = helper.get_node_attr_value(node, "epsilon")
        graph.replace(
            node,
            helper.make_node("Sum", [value, skip, *bias], [total]),
            helper.make_node("LayerNormalization", [total, weight, shift], [node.output[0]], axis=-1, epsilon=epsilon),
        )


@graph_pass
def mask_by_token(graph: Graph) -> None:
    """Attention reads the mask (texts, tokens) instead of one value for each pair of tokens."""
    for number, node in enumerate(graph.nodes("Attention")):
        if number == 0:
            cast = helper.make_node("Cast", ["attention_mask"], ["token_mask"], to=onnx.TensorProto.INT32)
            graph.insert(node, cast)
        node.input[3:] = ["token_mask"]


@graph_pass
def skip_unused_tokens(graph: Graph) -> None:
    """The classification head reads only the first token. After the last attention, the others are not computed."""

    def first_token(value: str) -> str:
        """The name of this value for the first token. Inserts the nodes that compute it."""
        node = graph.producer(value)
        if value in graph.weights or node is None:
            return value
        name = f"{value}_first"
        if graph.producer(name):
            return name
        per_token = node.op_type in PER_TOKEN and (node.op_type != "MatMul" or node.input[1] in graph.weights)
        if per_token and value not in attention_inputs:
            new = copy.deepcopy(node)
            new.input[:], new.output[:] = [first_token(inner) for inner in node.input], [name]
        else:
            new = helper.make_node("Gather", [value, index], [name], axis=1)
        graph.insert(gather, new)
        return name

    attention_inputs = {node.input[0] for node in graph.nodes("Attention")}  # attention needs all tokens
    for gather in graph.nodes("Gather") if attention_inputs else ():
        source, index = gather.input
        if axis(gather) == 1 and not graph.weights.get(index, np.ones(1)).shape:
            graph.replace(gather, helper.make_node("Identity", [first_token(source)], [gather.output[0]]))


PASSES: tuple[Pass, ...] = (fuse_operators, fold_concatenated_weights, split_skip_layer_normalization)
PASSES += (mask_by_token, skip_unused_tokens)


def optimize_graph(path: Path, sample: Inputs) -> onnx.ModelProto:
    """The model in `path` after all passes that keep its logits. `sample`: texts of different lengths."""

    def logits(model: onnx.ModelProto) -> NDArray[np.float32]:
        return next(run(model, [sample], ["logits"]))[0]

    model = onnx.load(path)
    expected = logits(model)
    for optimize in PASSES:
        try:
            optimized = optimize(model)
            actual = logits(optimized)
        except Exception:  # the pass does not fit the architecture, or ONNX Runtime rejects its result
            logger.warning("skipped %s: it failed", optimize.__name__, exc_info=True)
            continue
        if np.allclose(expected, actual, atol=1e-5):
            logger.info("%s: %d nodes, before %d", optimize.__name__, len(optimized.graph.node), len(model.graph.node))
            model = optimized
        else:
            difference = np.abs(expected - actual).max()
            logger.warning("skipped %s: it changes a logit by %.2g", optimize.__name__, difference)
    return model
