"""A classifier of Hugging Face becomes four files that serve it, and these say what it said."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from finalproject.model import SentimentModel
from tests.training import asked, needs_torch, run

pytestmark = needs_torch
TEXTS = ["a joy", "not good", "it is what it is, and it is not much of a film", "so so", "good " * 300]

# a small DistilBERT that has learnt nothing, and what the library's own pipeline makes of the texts
MAKE = """
import json, sys
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast, pipeline
folder, texts = sys.argv[1], json.loads(sys.argv[2])
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
config = DistilBertConfig(
    vocab_size=len(words), dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=64,
    initializer_range=0.2, id2label={0: "SAD", 1: "GLAD", 2: "NEITHER"}, label2id={"SAD": 0, "GLAD": 1, "NEITHER": 2},
)
model = DistilBertForSequenceClassification(config).eval()
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
told = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)
print(json.dumps([{one["label"]: one["score"] for one in many} for many in told(texts)]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("classifier")
    return folder, asked(MAKE, str(folder), json.dumps(TEXTS))


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


def test_in_8_bits_they_say_nearly_the_same(made: tuple[Path, list[dict[str, float]]], tmp_path: Path) -> None:
    folder, told = made
    (tmp_path / "texts").write_text("\n".join(TEXTS))
    done = run(
        "-m", "trainer.export", "--model", str(folder), "--to", str(tmp_path), "--texts", str(tmp_path / "texts")
    )
    assert done.returncode == 0, done.stderr
    for text, expected in zip(TEXTS, told, strict=True):
        assert shares(tmp_path, text) == pytest.approx(expected, abs=0.02)
    assert b"QuantizeLinear" in (tmp_path / "model.onnx").read_bytes()


def test_the_manifest_is_that_of_the_files(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    files = b"".join((exported / name).read_bytes() for name in ("model.onnx", "tokenizer.json", "config.json"))
    assert manifest["sha256"] == hashlib.sha256(files).hexdigest()
    assert manifest["bytes"] == len(files)
    assert len(list(exported.iterdir())) == 4


def test_what_is_no_classifier_is_refused_in_a_line(tmp_path: Path) -> None:
    done = run("-m", "trainer.export", "--model", str(tmp_path / "nothing"), "--to", str(tmp_path / "to"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "to").exists()
