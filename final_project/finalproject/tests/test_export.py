"""A classifier of Hugging Face becomes four files that serve it, and these say what it said."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from finalproject.model import SentimentModel
from tests.conftest import PROJECT
from tests.training import asked, needs_torch, run

pytestmark = needs_torch
TEXTS = ["a joy", "not good", "it is what it is, and it is not much of a film", "so so", "good " * 300]

# a small network that has learnt nothing, and what the library's own pipeline makes of the texts
MAKE = """
import json, sys
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline
folder, kind, sizes, texts = *sys.argv[1:3], *map(json.loads, sys.argv[3:])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
words += ["a", "joy", "not", "good", "it", "is", "what", "and", "much", "of", "film", "so"]
pieces = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
pieces.normalizer, pieces.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
pieces.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
pieces.enable_padding(length=128)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=pieces, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    model_max_length=64, model_input_names=["input_ids", "attention_mask"],
)
torch.manual_seed(0)
config = AutoConfig.for_model(
    kind, vocab_size=len(words), max_position_embeddings=64, initializer_range=0.2, **sizes,
    id2label={0: "SAD", 1: "GLAD", 2: "NEITHER"}, label2id={"SAD": 0, "GLAD": 1, "NEITHER": 2},
)
model = AutoModelForSequenceClassification.from_config(config).eval()
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
told = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)
print(json.dumps([{one["label"]: one["score"] for one in many} for many in told(texts)]))
"""


SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "bert": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
}


@pytest.fixture(scope="module", params=SIZES)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("classifier")
    return folder, asked(MAKE, str(folder), request.param, json.dumps(SIZES[request.param]), json.dumps(TEXTS))


@pytest.fixture(scope="module")
def exported(made: tuple[Path, list[dict[str, float]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("exported")
    done = run("-m", "trainer.export", "--model", str(made[0]), "--to", str(to))
    assert done.returncode == 0, done.stderr
    return to


def shares(folder: Path, text: str) -> dict[str, float]:
    """Without the service's rounding."""
    model = SentimentModel(folder)
    (ids,) = model.encode([text])
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input_ids": [ids], "attention_mask": [[1] * len(ids)]})
    odds = np.exp(np.float64(logits[0] - logits.max()))
    return dict(zip(model.labels, (odds / odds.sum()).tolist(), strict=True))


def test_in_float32_the_files_say_what_the_pipeline_says(
    made: tuple[Path, list[dict[str, float]]], exported: Path
) -> None:
    for text, expected in zip(TEXTS, made[1], strict=True):
        assert shares(exported, text) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def in_8_bits(made: tuple[Path, list[dict[str, float]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("in_8_bits")
    (to / "texts").write_text("\n".join(TEXTS))
    done = run("-m", "trainer.export", "--model", str(made[0]), "--to", str(to), "--texts", str(to / "texts"))
    assert done.returncode == 0, done.stderr
    return to


def test_in_8_bits_they_say_nearly_the_same(made: tuple[Path, list[dict[str, float]]], in_8_bits: Path) -> None:
    kind = json.loads((in_8_bits / "config.json").read_text())["model_type"]
    for text, expected in zip(TEXTS, made[1], strict=True):
        assert shares(in_8_bits, text) == pytest.approx(expected, abs={"distilbert": 0.02, "bert": 0.025}[kind])


def test_weights_have_7_bits_and_words_8_and_no_layer_stays_in_float32(in_8_bits: Path) -> None:
    code = """
import json, sys
import numpy as np, onnx
from onnx.numpy_helper import to_array
graph = onnx.load(sys.argv[1]).graph
weights = {tensor.name: to_array(tensor) for tensor in graph.initializer}
most = {"MatMul": [], "MatMulIntegerToFloat": [], "QAttention": [], "SkipLayerNormalization": [], "Gather": []}
for node in graph.node:
    table = weights.get(node.input[0 if node.op_type == "Gather" else 1]) if node.op_type in most else None
    if table is not None and table.ndim == 2 and (node.op_type != "Gather" or table.dtype == np.int8):
        most[node.op_type].append([str(table.dtype), int(np.abs(table.astype(int)).max())])
first = any("_first" in name for node in graph.node for name in node.output)
print(json.dumps([most, first]))
"""
    most, first = asked(code, str(in_8_bits / "model.onnx"))
    assert most["MatMul"] == most["SkipLayerNormalization"] == []
    assert most["MatMulIntegerToFloat"] == [["int8", 63]] * 6
    assert most["QAttention"] == [["int8", 63]] * 2
    assert len(most["Gather"]) >= 2
    assert all(table == ["int8", 127] for table in most["Gather"])
    assert first, "after the last attention only the first token is computed"


def test_a_way_of_rewriting_that_changes_the_answers_is_not_kept(exported: Path) -> None:
    code = """
import json, sys
import numpy as np, onnx
from pathlib import Path
from trainer import fuse
from trainer.graph import run
def doubled(graph):
    for name, weight in graph.weights.items():
        graph.weights[name] = weight * 2
def broken(graph):
    graph.replace(graph.nodes("LayerNormalization")[0])
sample = {"input_ids": np.array([[2, 5, 6, 3], [2, 7, 3, 0]]), "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]])}
fuse.WAYS = doubled, broken
after = fuse.fused(Path(sys.argv[1]), sample)
print(json.dumps([next(run(model, [sample], ["logits"]))[0].tolist() for model in (onnx.load(sys.argv[1]), after)]))
"""
    before, after = asked(code, str(exported / "model.onnx"))
    assert before == [pytest.approx(row, abs=1e-5) for row in after]


def test_the_manifest_is_that_of_the_files(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    files = b"".join((exported / name).read_bytes() for name in ("model.onnx", "tokenizer.json", "config.json"))
    assert manifest["sha256"] == hashlib.sha256(files).hexdigest()
    assert manifest["bytes"] == len(files)
    assert len(list(exported.iterdir())) == 4


def test_a_model_tells_no_path_of_the_machine_that_made_it(exported: Path, in_8_bits: Path) -> None:
    for folder in (exported, in_8_bits, PROJECT / "model"):
        for word in (b"site-packages", b"trainer/export.py", str(PROJECT).encode()):
            assert word not in (folder / "model.onnx").read_bytes()


def test_what_is_no_classifier_is_refused_in_a_line(tmp_path: Path) -> None:
    done = run("-m", "trainer.export", "--model", str(tmp_path / "nothing"), "--to", str(tmp_path / "to"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "to").exists()
