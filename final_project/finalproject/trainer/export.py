"""python -m trainer.export --model FOLDER: a sequence classifier of Hugging Face as the four files that serve it.

FOLDER may also be a name on the Hugging Face hub, where that can be reached, such as
distilbert/distilbert-base-uncased-finetuned-sst-2-english.
"""

import argparse
import hashlib
import json
import logging
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from finalproject.model import FILES, SentimentModel, inputs

from . import data
from .fuse import fused
from .quantise import quantise

SAMPLE = ["A text.", "And another one: longer than the first, which is padded."]


class Logits(nn.Module):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export(model: PreTrainedModel, to: Path) -> None:
    """ONNX of logits (n, labels), from ids and mask (n, tokens), in float32."""
    ids = torch.arange(6).repeat(2, 1)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        Logits(model.eval()),
        (ids, torch.ones_like(ids)),
        to,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes=(shape, shape),
        opset_version=18,
        external_data=False,
        verbose=False,
    )


def forget(network: onnx.ModelProto) -> None:
    """The exporter notes where in the source each operation comes from, by paths of the machine it runs on."""
    graph = network.graph
    for part in (network, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")


def write(folder: str, to: Path, texts: list[str] | None) -> None:
    """The four files; int8 when there are texts to choose the ranges by, else float32."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = tokenizer.backend_tokenizer
    pieces.no_padding()
    pieces.enable_truncation(min(tokenizer.model_max_length, model.config.max_position_embeddings))
    to.mkdir(parents=True, exist_ok=True)
    pieces.save(str(to / "tokenizer.json"), pretty=False)
    labels = {"id2label": model.config.id2label, "model_type": model.config.model_type}
    (to / "config.json").write_text(json.dumps(labels, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as temporary:
        export(model, Path(temporary) / "float.onnx")
        network = fused(Path(temporary) / "float.onnx", inputs([text.ids for text in pieces.encode_batch(SAMPLE)]))
    if texts is not None:
        network = quantise(network, [text.ids for text in pieces.encode_batch(texts)])
    forget(network)
    onnx.save(network, to / "model.onnx")
    files = [(to / name).read_bytes() for name in FILES]
    manifest = {
        "sha256": hashlib.sha256(b"".join(files)).hexdigest(),
        "bytes": sum(map(len, files)),
        "versions": {name: version(name) for name in ("onnx", "onnxruntime", "tokenizers", "torch", "transformers")},
    }
    (to / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    SentimentModel(to)  # the end, in a line, if they cannot be served


def score(folder: Path, source: str) -> None:
    """Adds to the manifest what the data was and how many of SST-2's dev sentences the files are right about."""
    dev = data.read("dev", source)
    model = SentimentModel(folder)
    answers = [model.predict(model.encode([text]))[0] for text, _ in dev]
    right = sum(
        (scores[1]["score"] > scores[0]["score"]) == label for scores, (_, label) in zip(answers, dev, strict=True)
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"] = {"source": data.SOURCE, "sha256": data.DIGESTS}
    manifest["scores"] = {"accuracy_dev": round(right / len(dev), 4), "right": right, "of": len(dev)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder, or a name on the hub")
    parser.add_argument("--dev", help="SST-2's archive or dev.tsv: the score on it goes into the manifest")
    parser.add_argument("--to", type=Path, default=Path("model"), help="the folder to write; default: model")
    parser.add_argument(
        "--texts", type=Path, help="one text a line, like those to come: makes it int8; default: float32"
    )
    words = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        texts = words.texts.read_text().splitlines() if words.texts else None
        write(words.model, words.to, texts)
        if words.dev:
            score(words.to, words.dev)
    except OSError as error:
        sys.exit(f"{words.model} cannot be exported: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
