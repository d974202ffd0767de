"""Compares the stages of the export: `python -m trainer.compare` exports the pretrained model and measures each stage.

Speed and size do not depend on the values of the weights, so it does not need the fine-tuned model. One thread, one
text per call. The rows of ONNX Runtime's own quantizers start from the model as exported.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

from finalproject.model import inputs

from . import pretrained
from .export import configure_logging, export_onnx
from .fuse import optimize_graph
from .graph import Inputs
from .quantize import quantize

ROUNDS, CALLS = 5, 100
TEXTS = (
    "a film that is never dull , with actors who enjoy every scene of it and a script that gives them good reasons",
    "too long",
    "the jokes are old , the plot is thin , and the music does not know when to stop",
    "charming",
)


class Reader(CalibrationDataReader):  # type: ignore[misc] # the package has no types
    def __init__(self, batches: list[Inputs]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Inputs | None:
        return next(self._batches, None)


def stages(folder: Path, tokens: list[list[int]]) -> Iterator[tuple[str, Path]]:
    torch.manual_seed(0)  # of the classification head
    exported = folder / "exported.onnx"
    export_onnx(pretrained.load_model(), exported)
    yield "float32, as exported", exported
    quantize_dynamic(exported, folder / "dynamic.onnx", reduce_range=True)
    yield "int8, `quantize_dynamic`", folder / "dynamic.onnx"
    reader = Reader([inputs([text]) for text in tokens])
    quantize_static(exported, folder / "static.onnx", reader, reduce_range=True, per_channel=True)
    yield "int8, `quantize_static`", folder / "static.onnx"
    fused = optimize_graph(exported, inputs(tokens))
    onnx.save(fused, folder / "fused.onnx")
    yield "float32, `fuse.py`", folder / "fused.onnx"
    onnx.save(quantize(fused, tokens), folder / "int8.onnx")
    yield "int8, `fuse.py` and `quantize.py`", folder / "int8.onnx"


def main() -> None:
    configure_logging()
    tokens = [encoding.ids for encoding in pretrained.load_tokenizer().encode_batch(TEXTS)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        paths = dict(stages(Path(folder), tokens))
        sizes = {name: path.stat().st_size / 1e6 for name, path in paths.items()}
        nodes = {name: len(onnx.load(path).graph.node) for name, path in paths.items()}
        sessions = {name: onnxruntime.InferenceSession(path, options) for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):  # the stages alternate, because the speed of a shared machine varies
        for name, session in sessions.items():
            start = time.thread_time()  # CPU time: other processes of the machine do not count
            for _ in range(CALLS):
                session.run(None, inputs(tokens[:1]))
            times[name].append(1e3 * (time.thread_time() - start) / CALLS)
    print(f"{len(tokens[0])} tokens per text; median (lowest to highest) of {ROUNDS} rounds of {CALLS} calls\n")
    print("| | nodes | size, MB | CPU time per text, ms | change in a batch |\n|---|---|---|---|---|")
    for name, session in sessions.items():
        alone = np.concatenate([session.run(None, inputs([text]))[0] for text in tokens])
        change = np.abs(session.run(None, inputs(tokens))[0] - alone).max() / np.abs(alone).max()
        spread = f"{median(times[name]):.1f} ({min(times[name]):.1f} to {max(times[name]):.1f})"
        print(f"| {name} | {nodes[name]} | {sizes[name]:.0f} | {spread} | {100 * change:.1f} % |")


if __name__ == "__main__":
    main()
