"""The same network in fewer and faster operations of ONNX Runtime. Each way of rewriting is kept only if the network
says the same as before: what holds for one architecture need not for another."""

import copy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxscript import ir
from onnxscript.rewriter.ort_fusions import optimize_for_ort

from .graph import Feed, Graph, axis, run

BY_ROW = ("Add", "BiasGelu", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Sum")  # each token by itself


def optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Attention, GELU, sum and norm each as one operation."""
    return ir.to_proto(optimize_for_ort(ir.from_proto(model))[0])


def joined_weights(graph: Graph) -> None:
    """Of queries, keys and values, joined once and for all."""
    for node in graph.nodes("Concat"):
        if all(name in graph.weights for name in node.input):
            graph.weights[node.output[0]] = np.concatenate([graph.weights[name] for name in node.input], axis(node))
            graph.replace(node)


def sums_and_norms(graph: Graph) -> None:
    """SkipLayerNormalization takes five times as long as a sum and a norm. A Sum: an Add would be fused again."""
    for node in graph.nodes("SkipLayerNormalization"):
        new, skip, weight, shift, *bias = node.input
        total = f"{node.output[0]}_sum"
        epsilon = helper.get_node_attr_value(node, "epsilon")
        graph.replace(
            node,
            helper.make_node("Sum", [new, skip, *bias], [total]),
            helper.make_node("LayerNormalization", [total, weight, shift], [node.output[0]], axis=-1, epsilon=epsilon),
        )


def masks_by_token(graph: Graph) -> None:
    """Which tokens are padding, and not which token may look at which."""
    for number, node in enumerate(graph.nodes("Attention")):
        if number == 0:
            cast = helper.make_node("Cast", ["attention_mask"], ["which_tokens"], to=onnx.TensorProto.INT32)
            graph.insert(node, cast)
        node.input[3:] = ["which_tokens"]


def only_the_first_token(graph: Graph) -> None:
    """The head reads only this one, so after the last attention the others need not be computed."""

    def first(value: str) -> str:
        node = graph.source(value)
        if value in graph.weights or node is None:
            return value
        name = f"{value}_first"
        if graph.source(name):
            return name
        alone = node.op_type in BY_ROW and (node.op_type != "MatMul" or node.input[1] in graph.weights)
        if alone and value not in looked_at:
            new = copy.deepcopy(node)
            new.input[:], new.output[:] = [first(inner) for inner in node.input], [name]
        else:
            new = helper.make_node("Gather", [value, place], [name], axis=1)
        graph.insert(gather, new)
        return name

    looked_at = {node.input[0] for node in graph.nodes("Attention")}  # there all tokens are needed
    for gather in graph.nodes("Gather") if looked_at else ():
        source, place = gather.input
        if axis(gather) == 1 and not graph.weights.get(place, np.ones(1)).shape:
            graph.replace(gather, helper.make_node("Identity", [first(source)], [gather.output[0]]))


WAYS = (joined_weights, sums_and_norms, masks_by_token, only_the_first_token)


def fused(network: Path, sample: Feed) -> onnx.ModelProto:
    """`sample`: texts of different lengths, by which before and after are compared."""

    def rewritten(way: Callable[[Graph], None]) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
        def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
            graph = Graph(model)
            way(graph)
            return graph.model()

        return rewrite

    def logits(model: onnx.ModelProto) -> NDArray[np.float32]:
        return next(run(model, [sample], ["logits"]))[0]

    model = onnx.load(network)
    before = logits(model)
    for way in (optimised, *map(rewritten, WAYS)):
        with suppress(Exception):  # of a network that the way does not fit, or that makes no sense after it
            after = way(model)
            if np.allclose(before, logits(after), atol=1e-5):
                model = after
    return model
