"""Training with what quantise.py will do in mind: each linear layer computes with rounded weights and inputs, and the
gradients pass as if it had not (Jacob et al., Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference, 2018)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DistilBertForSequenceClassification


class FakeQuantised(nn.Linear):
    """Weights in 7 bits a row; inputs in 8 bits, of a range that was seen."""

    @classmethod
    def of(cls, linear: nn.Linear, low: float, high: float) -> "FakeQuantised":
        linear.__class__ = cls
        quantised = cast(FakeQuantised, linear)
        quantised.scale = max((high - low) / 255, 1e-8)
        quantised.zero = round(-low / quantised.scale)
        return quantised

    def forward(self, inputs: Tensor) -> Tensor:
        steps = self.weight.detach().abs().amax(1) / 64
        weight = torch.fake_quantize_per_channel_affine(
            self.weight, steps, torch.zeros_like(steps, dtype=torch.int32), 0, -64, 64
        )
        inputs = torch.fake_quantize_per_tensor_affine(inputs, self.scale, self.zero, 0, 255)
        return functional.linear(inputs, weight, self.bias)


@torch.no_grad()
def fake_quantise(model: DistilBertForSequenceClassification, batches: list[tuple[Tensor, ...]]) -> None:
    """Rounds the embeddings, which then stay, and makes the linear layers of the transformer so, with the ranges that
    these batches show."""
    for embedding in (model.distilbert.embeddings.word_embeddings, model.distilbert.embeddings.position_embeddings):
        step = embedding.weight.abs().max() / 127
        embedding.weight.copy_((embedding.weight / step).round() * step)
    linears = [part for part in model.distilbert.transformer.modules() if isinstance(part, nn.Linear)]
    low, high = dict.fromkeys(linears, 0.0), dict.fromkeys(linears, 0.0)

    def look(linear: nn.Linear, inputs: tuple[Tensor]) -> None:
        low[linear] = min(low[linear], float(inputs[0].min()))
        high[linear] = max(high[linear], float(inputs[0].max()))

    hooks = [linear.register_forward_pre_hook(look) for linear in linears]
    model.eval()
    for ids, mask, *_ in batches:
        model(ids, mask)
    for hook in hooks:
        hook.remove()
    for linear in linears:
        FakeQuantised.of(linear, low[linear], high[linear])
