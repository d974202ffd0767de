"""POST /predict: the model's predictions, in the order of the request, for every valid body."""

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from tokenizers import Tokenizer

from tests.conftest import PROJECT

Scores = list[dict[str, str | float]]
MODEL = PROJECT / "model"


def compute(texts: list[str]) -> list[Scores]:
    """The oracle: tokens, model and softmax, one text at a time."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    predictions = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        (logits,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].astype(np.float64)
        scores = (np.exp(logits) / np.exp(logits).sum()).round(4).tolist()
        predictions.append([{"label": "NEGATIVE", "score": scores[0]}, {"label": "POSITIVE", "score": scores[1]}])
    return predictions


def predict(client: TestClient, texts: list[str]) -> list[Scores]:
    response = client.post("/predict", json={"text": texts})
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"predictions"}
    predictions: list[Scores] = response.json()["predictions"]
    return predictions


def test_predictions_are_the_models_in_the_order_of_the_request(client: TestClient, texts: list[str]) -> None:
    expected = compute(texts)
    assert predict(client, texts[::-1] + texts[:9]) == expected[::-1] + expected[:9]
    assert [predict(client, [text])[0] for text in texts[:20]] == expected[:20]
    assert predict(client, []) == []
    assert predict(client, texts * 5) == expected * 5  # 1,000 texts


@pytest.mark.parametrize("text", ["a" * 10_000, "good " * 2_000, "😀" * 10_000, "\0" * 10_000])
def test_text_of_10_000_characters_is_accepted_and_of_10_001_rejected(client: TestClient, text: str) -> None:
    assert predict(client, [text, "good"]) == compute([text, "good"])
    response = client.post("/predict", json={"text": ["good", text + "x"]})
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", "text", 1])


def test_text_is_truncated_after_512_tokens(client: TestClient) -> None:
    """The first and the last token are the model's own."""
    start = "good " * 509
    within, window, beyond = predict(client, [start + "good", start + "good bad", start + "bad"])
    assert within == window != beyond


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain", "x"])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_body_is_read_as_json_whatever_its_content_type(
    client: TestClient, content_type: str | None, prefix: bytes
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = client.post("/predict", content=prefix + b'{"text": ["good"]}', headers=headers)
    assert (response.status_code, response.json()["predictions"]) == (200, predict(client, ["good"]))
    invalid = client.post("/predict", content=prefix + b'{"text": ["good", ""]}', headers=headers)
    assert (invalid.status_code, invalid.json()["detail"][0]["loc"]) == (422, ["body", "text", 1])
