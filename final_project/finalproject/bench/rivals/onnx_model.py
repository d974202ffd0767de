"""The committed model as the documentation of ONNX Runtime and tokenizers shows it. Every rival calls it.

THREADS is the number of threads that ONNX Runtime uses for one call; without it, ONNX Runtime uses every core.
https://onnxruntime.ai/docs/api/python/api_summary.html and https://huggingface.co/docs/tokenizers/quicktour
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parents[2] / "model"


class Model:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))  # 0: the default
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=providers)
        self.tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self.tokenizer.enable_padding()
        labels = json.loads((FOLDER / "config.json").read_text())["id2label"]
        self.labels = [labels[key] for key in sorted(labels, key=int)]

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        encodings = self.tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        (logits,) = self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponentials / exponentials.sum(axis=1, keepdims=True)
        return [
            [{"label": label, "score": float(score)} for label, score in zip(self.labels, row, strict=True)]
            for row in scores
        ]
