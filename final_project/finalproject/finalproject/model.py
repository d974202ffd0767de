"""The transformer: from texts to tokens to scores, without torch.

The SHA-256 of every file is verified before it is loaded. `sha256` identifies the model in cache keys and metrics:
it is the SHA-256 of the checksum list that `sha256sum model.onnx tokenizer.json config.json` prints.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from tokenizers import Tokenizer

from .errors import StartupError
from .schemas import Score

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import: without it, ONNX Runtime sends usage data to Microsoft
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # otherwise it starts a thread for each processor of the machine

import onnxruntime

FILES = ("model.onnx", "tokenizer.json", "config.json")


def inputs(texts: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Token ids and attention mask, each (texts, tokens of the longest text); both are 0 for padding."""
    ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask}


class SentimentModel:
    """The model in `folder`. Raises a StartupError if its files are not those of its manifest.json, or do not work."""

    def __init__(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            contents = {name: (folder / name).read_bytes() for name in FILES}
            checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
            for name, checksum in checksums.items():
                if checksum != manifest["files"][name]["sha256"]:
                    raise ValueError(f"the SHA-256 of {name} is not the one in manifest.json")
            lines = "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items())
            self.sha256 = hashlib.sha256(lines.encode()).hexdigest()
            id2label = json.loads(contents["config.json"])["id2label"]
            self.labels = [str(id2label[str(index)]) for index in range(len(id2label))]
            self._tokenizer = Tokenizer.from_str(contents["tokenizer.json"].decode())
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1  # inference runs in the thread that calls it
            options.enable_mem_pattern = False  # it keeps a memory plan for every shape of a batch, forever
            self._session = onnxruntime.InferenceSession(contents["model.onnx"], options, ["CPUExecutionProvider"])
            self.predict(self.encode(["The first inference is slow."]))
        except Exception as error:  # each library raises its own exceptions
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"  # one line; some messages have more
            raise StartupError(f"MODEL_DIR: cannot load the model in {folder}: {reason}") from error

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, truncated to the model's window."""
        # One text per call: before it truncates them, the tokenizer needs 270 MB for 1,000 long texts.
        return [self._tokenizer.encode_batch_fast([text])[0].ids for text in texts]

    def predict(self, texts: Sequence[Sequence[int]]) -> list[bytes]:
        """For the tokens of each text: the JSON of each label's probability (softmax, 4 decimals). One inference."""
        (logits,) = self._session.run(["logits"], inputs(texts))
        exp_logits = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        rows = (exp_logits / exp_logits.sum(axis=1, keepdims=True)).round(4).tolist()
        return [
            to_json([Score(label=label, score=p) for label, p in zip(self.labels, row, strict=True)]) for row in rows
        ]
