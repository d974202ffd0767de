"""A classifier of Hugging Face becomes files that the service loads, with the scores of Hugging Face's own pipeline."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest

from finalproject.model import FILES, SentimentModel, inputs
from tests.conftest import PROJECT, needs_torch, run, run_code

pytestmark = needs_torch
TEXTS = ["a joy", "not good", "it is what it is, and it is not much of a film", "so so", "good " * 600]
SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "bert": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
}

# Saves a small model with random weights, and prints its scores. Its tokenizer pads, as those of some models do.
CREATE_CLASSIFIER = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from trainer import pretrained
folder, kind, sizes, texts = *sys.argv[1:3], *map(json.loads, sys.argv[3:])
pretrained.save_tokenizer(Path(folder))
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.backend_tokenizer.enable_padding(length=128)
tokenizer.save_pretrained(folder)
torch.manual_seed(0)
labels = {"id2label": {0: "SAD", 1: "GLAD", 2: "NEITHER"}, "label2id": {"SAD": 0, "GLAD": 1, "NEITHER": 2}}
config = AutoConfig.for_model(kind, initializer_range=0.2, **sizes, **labels)
model = AutoModelForSequenceClassification.from_config(config).eval()
model.save_pretrained(folder)
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)
print(json.dumps([{score["label"]: score["score"] for score in scores} for scores in classify(texts)]))
"""


class Exported(NamedTuple):
    kind: str
    scores: list[dict[str, float]]  # of TEXTS, by Hugging Face's pipeline
    float32: Path
    int8: Path


@pytest.fixture(scope="module", params=SIZES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    classifier, float32, int8 = (tmp_path_factory.mktemp(name) for name in ("classifier", "float32", "int8"))
    scores = run_code(
        CREATE_CLASSIFIER, str(classifier), request.param, *map(json.dumps, (SIZES[request.param], TEXTS))
    )
    (classifier / "texts").write_text("\n".join(TEXTS))
    for out, *options in (float32,), (int8, "--calibration", str(classifier / "texts")):
        result = run("-m", "trainer.export", str(classifier), "--out", str(out), *options)
        assert result.returncode == 0, result.stderr
    return Exported(request.param, scores, float32, int8)


def probabilities(folder: Path) -> list[dict[str, float]]:
    """The scores of TEXTS, without the service's rounding."""
    model, results = SentimentModel(folder), []
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for tokens in model.encode(TEXTS):
        exp_logits = np.exp(session.run(None, inputs([tokens]))[0][0].astype(np.float64))
        results.append(dict(zip(model.labels, (exp_logits / exp_logits.sum()).tolist(), strict=True)))
    return results


def test_model_has_the_scores_of_the_hugging_face_pipeline_and_the_int8_model_nearly(exported: Exported) -> None:
    assert probabilities(exported.float32) == [pytest.approx(scores, abs=1e-5) for scores in exported.scores]
    assert probabilities(exported.int8) == [pytest.approx(scores, abs=0.04) for scores in exported.scores]


def test_linear_layers_have_7_bits_and_embeddings_8_and_unused_tokens_are_skipped(exported: Exported) -> None:
    code = """
import json, sys
import numpy as np, onnx
from onnx.numpy_helper import to_array
graph = onnx.load(sys.argv[1]).graph
weights = [weight for weight in map(to_array, graph.initializer) if weight.ndim == 2 and weight.dtype == np.int8]
levels = sorted(int(np.abs(weight.astype(int)).max()) for weight in weights)
print(json.dumps([levels, any("_first" in name for node in graph.node for name in node.output)]))
"""
    embeddings = {"distilbert": 2, "bert": 3}[exported.kind]
    assert run_code(code, str(exported.int8 / "model.onnx")) == [[63] * 8 + [127] * embeddings, True]


def test_pass_that_fails_or_changes_the_logits_is_skipped_and_logged(exported: Exported, tmp_path: Path) -> None:
    code = """
import json, sys
import numpy as np, onnx
from pathlib import Path
from trainer import export, fuse
from trainer.graph import graph_pass, run
@graph_pass
def double_weights(graph):
    graph.weights.update({name: weight * 2 for name, weight in graph.weights.items() if weight.ndim == 2})
@graph_pass
def remove_node(graph):
    graph.replace(graph.nodes("LayerNormalization")[0])
sample = {"input_ids": np.array([[2, 5, 6, 3], [2, 7, 3, 0]]), "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]])}
fuse.PASSES = double_weights, remove_node
export.configure_logging()
optimized = fuse.optimize_graph(Path(sys.argv[1]), sample)
print(json.dumps([next(run(model, [sample], ["logits"]))[0].tolist() for model in (onnx.load(sys.argv[1]), optimized)]))
"""
    result = run("-c", code, str(exported.float32 / "model.onnx"), HOME=str(tmp_path))
    before, after = json.loads(result.stdout)
    assert before == [pytest.approx(row, abs=1e-5) for row in after]
    messages = r"skipped double_weights: it changes a logit by .+\nskipped remove_node: it failed\nTraceback"
    assert re.match(messages, result.stderr)
    assert list(tmp_path.iterdir()) == []  # telemetry would write an id of the device into the home folder


def test_manifest_has_the_sizes_and_the_model_no_path_of_the_machine_that_exported_it(exported: Exported) -> None:
    for folder in (exported.float32, exported.int8):
        files = json.loads((folder / "manifest.json").read_text())["files"]
        assert [(folder / name).stat().st_size for name in FILES] == [files[name]["size"] for name in FILES]
        content = (folder / "model.onnx").read_bytes()
        assert not any(path in content for path in (b"site-packages", b"trainer/export.py", str(PROJECT).encode()))


def test_folder_without_a_classifier_is_an_error_of_one_line(tmp_path: Path) -> None:
    result = run("-m", "trainer.export", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["state.pt", "state.tmp"])  # after a checkpoint, and before the first one
def test_unfinished_training_is_not_exported(file: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    result = run("-m", "trainer.export", str(tmp_path), "--out", str(tmp_path / "out"))
    assert (result.returncode, result.stderr) == (1, f"cannot export {tmp_path}: its training is not finished\n")
    assert not (tmp_path / "out").exists()
