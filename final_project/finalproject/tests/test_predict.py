"""POST /predict: what it answers, against the network called directly."""

import asyncio
import json
import re

import httpx2
import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from tokenizers import Tokenizer

from finalproject.main import app
from tests.conftest import PROJECT

Scores = list[dict[str, str | float]]
MODEL = PROJECT / "model"
LABELS = [label for _, label in sorted(json.loads((MODEL / "config.json").read_text())["id2label"].items())]


def expected(texts: list[str]) -> list[Scores]:
    """Tokens, network and softmax, a text at a time."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    found = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        (logits,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].astype(np.float64)
        shares = np.exp(logits) / np.exp(logits).sum()
        found.append([{"label": label, "score": round(share, 4)} for label, share in zip(LABELS, shares, strict=True)])
    return found


def ask(client: TestClient, rows: list[str]) -> list[Scores]:
    answer = client.post("/predict", json={"text": rows})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"predictions"}
    predictions: list[Scores] = answer.json()["predictions"]
    return predictions


def test_predictions_are_those_of_the_network_in_the_order_of_the_request(client: TestClient, texts: list[str]) -> None:
    scores = expected(texts)
    assert ask(client, texts) == scores
    assert ask(client, texts[::-1]) == scores[::-1]


def test_a_batch_answers_as_its_texts_alone_do(client: TestClient, texts: list[str]) -> None:
    rows = texts[:20]
    assert ask(client, rows) == [ask(client, [row])[0] for row in rows]


def test_scores_are_plain_have_4_decimals_and_sum_to_1(client: TestClient, texts: list[str]) -> None:
    answer = client.post("/predict", json={"text": texts})
    numbers = re.findall(r'"score":([^,}]*)', answer.text)
    assert len(numbers) == 2 * len(texts)
    assert [number for number in numbers if not re.fullmatch(r"[01]\.\d{1,4}", number)] == []
    for scores in answer.json()["predictions"]:
        assert [score["label"] for score in scores] == LABELS == ["NEGATIVE", "POSITIVE"]
        assert sum(score["score"] for score in scores) == pytest.approx(1, abs=0.0002)


def test_an_empty_batch_has_no_predictions(client: TestClient) -> None:
    assert ask(client, []) == []


def test_a_thousand_texts_are_answered_and_one_more_is_refused(client: TestClient) -> None:
    rows = [f"good {number}" if number % 3 else f"bad {number}" for number in range(1_001)]
    scores = ask(client, rows[:1_000])
    assert len(scores) == 1_000
    assert [scores[0], scores[500], scores[999]] == expected([rows[0], rows[500], rows[999]])
    answer = client.post("/predict", json={"text": rows})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "text"]


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "text/plain", "application/json", "x"]
)
def test_the_body_is_json_whatever_its_content_type(
    client: TestClient, texts: list[str], content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    content = json.dumps({"text": texts[:1]}).encode()
    answer = client.post("/predict", content=content, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["predictions"] == ask(client, texts[:1])


@pytest.mark.parametrize(
    "text",
    [
        "x",
        " ",
        "\n",
        "\0",
        "\x01\x1b[31m\x7f",
        "\u202egood\u202c",
        "مرحبا, this is רע",
        "😀👩‍👩‍👧‍👦🚀",
        "\ufeff\u200b",
        "\U0010ffff",
        "[CLS][SEP][PAD]",
    ]
    + ["a" * 10_000, "good " * 2_000, "😀" * 10_000, "\0" * 10_000],
    ids=lambda text: repr(text[:6]),
)
def test_a_text_of_anything_is_answered(client: TestClient, text: str) -> None:
    assert ask(client, [text, "good"]) == expected([text, "good"])


def test_of_a_long_text_the_window_of_512_tokens_is_read(client: TestClient) -> None:
    """510 of the text, and the two that begin and end it."""
    start = "good " * 509
    inside, window, beyond = ask(client, [start + "good", start + "good bad", start + "bad"])
    assert inside == window
    assert inside != beyond


def test_colons_in_texts_are_not_counted_as_fields(client: TestClient) -> None:
    rows = [":" * 10_000] * 9 + ['\\":": ' * 1_500] + ["a: b"] * 990
    assert json.dumps(rows).count(":") > 90_000
    assert len(ask(client, rows)) == 1_000


def test_requests_at_the_same_time_get_each_its_own_answer(client: TestClient, texts: list[str]) -> None:
    rows = texts[:60]
    alone = ask(client, rows)

    async def all_at_once() -> list[Scores]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as many:
            answers = await asyncio.gather(*(many.post("/predict", json={"text": [row]}) for row in rows))
        return [answer.json()["predictions"][0] for answer in answers]

    assert asyncio.run(all_at_once()) == alone
