"""Exports a sequence classifier of Hugging Face as the files that the service loads: `python -m trainer.export MODEL`.

MODEL is a folder, or the name of a model on the Hugging Face Hub, for example
distilbert/distilbert-base-uncased-finetuned-sst-2-english.
"""

import argparse
import json
import logging
import sys
import tempfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from finalproject.errors import StartupError
from finalproject.model import FILES, SentimentModel, inputs

from .fit import CHECKPOINT, UNFINISHED
from .fuse import optimize_graph
from .quantize import quantize

PACKAGES = ("onnx", "onnxruntime", "tokenizers", "torch", "transformers")
SAMPLE = ["A text.", "And another one: longer than the first, which is padded."]


class Logits(nn.Module):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export_onnx(model: PreTrainedModel, path: Path) -> None:
    """Writes the model in float32: from token ids and attention mask (texts, tokens) to logits (texts, labels)."""
    ids = torch.arange(6).repeat(2, 1)
    shape = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        Logits(model).eval(),
        (ids, torch.ones_like(ids)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes=(shape, shape),
        opset_version=18,
        external_data=False,
        verbose=False,
    )


def strip_metadata(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes: they contain paths of the machine that exported the model."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")


def export(name: str, out: Path, calibration: list[str] | None) -> None:
    """Writes the files to `out`: in int8 if there are calibration texts, otherwise in float32."""
    if any((Path(name) / file).exists() for file in (CHECKPOINT, UNFINISHED)):
        raise ValueError("its training is not finished")
    model = AutoModelForSequenceClassification.from_pretrained(name, attn_implementation="eager")
    transformers_tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer = transformers_tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(transformers_tokenizer.model_max_length, model.config.max_position_embeddings))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    config = {"id2label": model.config.id2label, "model_type": model.config.model_type}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "float32.onnx"
        export_onnx(model, path)
        onnx_model = optimize_graph(path, inputs([encoding.ids for encoding in tokenizer.encode_batch(SAMPLE)]))
    if calibration is not None:
        onnx_model = quantize(onnx_model, [encoding.ids for encoding in tokenizer.encode_batch(calibration)])
    strip_metadata(onnx_model)
    onnx.save(onnx_model, out / "model.onnx")
    write_manifest(out, Path(name) / "data.json")
    SentimentModel(out)  # raises a StartupError if the service cannot load it


def write_manifest(folder: Path, data: Path) -> None:
    """Writes manifest.json. `data`: what trainer.train writes about the training data, if it exists."""
    contents = {name: (folder / name).read_bytes() for name in FILES}
    files = {name: {"sha256": sha256(content).hexdigest(), "size": len(content)} for name, content in contents.items()}
    manifest = {"files": files, "versions": {name: version(name) for name in PACKAGES}}
    if data.exists():
        manifest["data"] = json.loads(data.read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def configure_logging() -> None:
    """Shows the messages of this package, and only the errors of others."""
    logging.basicConfig(format="%(message)s", level=logging.ERROR)
    logging.getLogger("trainer").setLevel(logging.INFO)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, or a name on the Hugging Face Hub")
    parser.add_argument("--out", type=Path, default=Path("model"), help="folder to write; default: model")
    parser.add_argument("--calibration", type=Path, help="typical texts, one per line: quantizes the model to int8")
    arguments = parser.parse_args()
    configure_logging()
    try:
        calibration = arguments.calibration.read_text().splitlines() if arguments.calibration else None
        export(arguments.model, arguments.out, calibration)
    except (OSError, StartupError, ValueError) as error:
        sys.exit(f"cannot export {arguments.model}: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
