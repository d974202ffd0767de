"""The trained transformer: loaded once, from files that are what their manifest says, and asked a batch at a time."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .schemas import Score

FILES = ("model.onnx", "tokenizer.json", "config.json")


os.environ["TOKENIZERS_PARALLELISM"] = "false"  # else it starts a thread for each of the host's cores


def inputs(texts: list[list[int]]) -> dict[str, NDArray[np.int64]]:
    """Ids and mask (n, tokens of the longest) of the tokens of each text, both 0 where it has ended."""
    ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask}


class SentimentModel:
    """The model in `folder`, or the end of the process with one line that says what is wrong with its files."""

    def __init__(self, folder: Path) -> None:
        try:
            network, pieces, config = (folder.joinpath(name).read_bytes() for name in FILES)
            digest = json.loads(folder.joinpath("manifest.json").read_bytes())["sha256"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            sys.exit(f"MODEL_DIR: the model in {folder} cannot be read: {error!r}")
        if hashlib.sha256(network + pieces + config).hexdigest() != digest:
            sys.exit(f"MODEL_DIR: the files in {folder} are not those of its manifest.json: cut short, or other ones")
        self.digest: str = digest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the caller's own thread, and no other
        options.enable_mem_pattern = False  # it would keep a plan for each shape of a batch that ever came
        try:
            self.labels = [
                label for _, label in sorted(json.loads(config)["id2label"].items(), key=lambda pair: int(pair[0]))
            ]
            self._tokenizer = Tokenizer.from_str(pieces.decode())
            self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
            self.predict(self.encode(["The first call takes longer."]))
        except Exception as error:  # each library has its own
            sys.exit(f"MODEL_DIR: the model in {folder} cannot be used: {str(error).splitlines()[0]}")

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The tokens of each text, at most as many as the model's window has."""
        # not in one go: what the tokenizer makes of 1,000 long texts before it cuts them takes 270 MB
        return [self._tokenizer.encode_batch_fast([text])[0].ids for text in texts]

    def predict(self, texts: list[list[int]]) -> list[list[Score]]:
        """For the tokens of each text, the probability of each label, by softmax; in one call of the network."""
        (logits,) = self._session.run(["logits"], inputs(texts))
        odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        shares: list[list[float]] = (odds / odds.sum(axis=1, keepdims=True)).round(4).tolist()
        return [
            [Score(label=label, score=share) for label, share in zip(self.labels, row, strict=True)] for row in shares
        ]
