"""A classifier of Hugging Face becomes files that the service loads, with the scores of Hugging Face's own pipeline."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest

from finalproject.model import FILES, SentimentModel, inputs
from tests.training import PROJECT, needs_torch, run, run_code

pytestmark = needs_torch
TEXTS = ["a joy", "not good", "it is what it is, and it is not much of a film", "so so", "good " * 300]
SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "bert": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
}
MAX_DIFFERENCE = {"distilbert": 0.02, "bert": 0.025}  # of a probability, in int8

# Saves a small model with random weights, and prints its scores
CREATE_CLASSIFIER = """
import json, sys
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline
folder, kind, sizes, texts = *sys.argv[1:3], *map(json.loads, sys.argv[3:])
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
vocabulary += ["a", "joy", "not", "good", "it", "is", "what", "and", "much", "of", "film", "so"]
backend = Tokenizer(models.WordPiece({token: index for index, token in enumerate(vocabulary)}, unk_token="[UNK]"))
backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
backend.enable_padding(length=128)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    model_max_length=64, model_input_names=["input_ids", "attention_mask"],
)
torch.manual_seed(0)
config = AutoConfig.for_model(
    kind, vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.2, **sizes,
    id2label={0: "SAD", 1: "GLAD", 2: "NEITHER"}, label2id={"SAD": 0, "GLAD": 1, "NEITHER": 2},
)
model = AutoModelForSequenceClassification.from_config(config).eval()
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)
print(json.dumps([{score["label"]: score["score"] for score in scores} for scores in classify(texts)]))
"""


class Classifier(NamedTuple):
    kind: str
    folder: Path
    scores: list[dict[str, float]]  # of TEXTS


@pytest.fixture(scope="module", params=SIZES)
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    kind, folder = request.param, tmp_path_factory.mktemp("classifier")
    arguments = (str(folder), kind, json.dumps(SIZES[kind]), json.dumps(TEXTS))
    return Classifier(kind, folder, run_code(CREATE_CLASSIFIER, *arguments))


@pytest.fixture(scope="module")
def float32(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("float32")
    result = run("-m", "trainer.export", str(classifier.folder), "--out", str(out))
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def int8(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8")
    (out / "texts").write_text("\n".join(TEXTS))
    command = ("-m", "trainer.export", str(classifier.folder), "--out", str(out), "--calibration", str(out / "texts"))
    result = run(*command)
    assert result.returncode == 0, result.stderr
    return out


def probabilities(folder: Path, text: str) -> dict[str, float]:
    """The scores, without the service's rounding."""
    model = SentimentModel(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, inputs(model.encode([text])))
    exp_logits = np.exp(np.float64(logits[0] - logits.max()))
    return dict(zip(model.labels, (exp_logits / exp_logits.sum()).tolist(), strict=True))


def test_float32_model_has_the_scores_of_the_hugging_face_pipeline(classifier: Classifier, float32: Path) -> None:
    for text, scores in zip(TEXTS, classifier.scores, strict=True):
        assert probabilities(float32, text) == pytest.approx(scores, abs=1e-5)


def test_int8_model_has_nearly_the_same_scores(classifier: Classifier, int8: Path) -> None:
    for text, scores in zip(TEXTS, classifier.scores, strict=True):
        assert probabilities(int8, text) == pytest.approx(scores, abs=MAX_DIFFERENCE[classifier.kind])


def test_linear_layers_have_7_bits_and_embeddings_8_and_none_is_float32(int8: Path) -> None:
    code = """
import json, sys
import numpy as np, onnx
from onnx.numpy_helper import to_array
graph = onnx.load(sys.argv[1]).graph
weights = {tensor.name: to_array(tensor) for tensor in graph.initializer}
largest = {"MatMul": [], "MatMulIntegerToFloat": [], "QAttention": [], "SkipLayerNormalization": [], "Gather": []}
for node in graph.node:
    weight = weights.get(node.input[0 if node.op_type == "Gather" else 1]) if node.op_type in largest else None
    if weight is not None and weight.ndim == 2 and (node.op_type != "Gather" or weight.dtype == np.int8):
        largest[node.op_type].append([str(weight.dtype), int(np.abs(weight.astype(int)).max())])
first_token = any("_first" in name for node in graph.node for name in node.output)
print(json.dumps([largest, first_token]))
"""
    largest, first_token = run_code(code, str(int8 / "model.onnx"))
    assert largest["MatMul"] == largest["SkipLayerNormalization"] == []
    assert largest["MatMulIntegerToFloat"] == [["int8", 63]] * 6
    assert largest["QAttention"] == [["int8", 63]] * 2
    assert len(largest["Gather"]) >= 2
    assert all(table == ["int8", 127] for table in largest["Gather"])
    assert first_token, "all tokens are computed after the last attention"


def test_pass_that_fails_or_changes_the_logits_is_skipped_and_logged(float32: Path) -> None:
    code = """
import json, logging, sys
import numpy as np, onnx
from pathlib import Path
from trainer import fuse
from trainer.graph import graph_pass, run
@graph_pass
def double_weights(graph):
    for name, weight in graph.weights.items():
        if weight.ndim == 2:
            graph.weights[name] = weight * 2
@graph_pass
def remove_node(graph):
    graph.replace(graph.nodes("LayerNormalization")[0])
messages = []
handler = logging.Handler()
handler.emit = lambda record: messages.append([record.getMessage(), bool(record.exc_info)])
fuse.logger.addHandler(handler)
sample = {"input_ids": np.array([[2, 5, 6, 3], [2, 7, 3, 0]]), "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]])}
fuse.PASSES = double_weights, remove_node
optimized = fuse.optimize_graph(Path(sys.argv[1]), sample)
logits = [next(run(model, [sample], ["logits"]))[0].tolist() for model in (onnx.load(sys.argv[1]), optimized)]
print(json.dumps([logits, messages]))
"""
    (before, after), messages = run_code(code, str(float32 / "model.onnx"))
    assert before == [pytest.approx(row, abs=1e-5) for row in after]
    (changed, _), (failed, traceback) = messages
    assert changed.startswith("skipped double_weights: it changes a logit by ")
    assert failed.startswith("skipped remove_node: ")
    assert traceback


def test_manifest_has_the_checksum_and_the_size_of_each_file(float32: Path) -> None:
    files = json.loads((float32 / "manifest.json").read_text())["files"]
    assert list(files) == list(FILES)
    for name, entry in files.items():
        content = (float32 / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert {path.name for path in float32.iterdir()} == {*FILES, "manifest.json"}


def test_trainer_sends_no_telemetry(tmp_path: Path) -> None:
    """Telemetry would write an id of the device into the home folder."""
    code = "from trainer import graph; graph.onnxruntime.InferenceSession('model/model.onnx')"
    assert run("-c", code, HOME=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_model_contains_no_path_of_the_machine_that_exported_it(float32: Path, int8: Path) -> None:
    for folder in (float32, int8, PROJECT / "model"):
        content = (folder / "model.onnx").read_bytes()
        for path in (b"site-packages", b"trainer/export.py", str(PROJECT).encode()):
            assert path not in content


def test_folder_without_a_classifier_is_an_error_of_one_line(tmp_path: Path) -> None:
    result = run("-m", "trainer.export", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
