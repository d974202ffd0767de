"""What the model has learned. The kinds of tests are those of CheckList (https://arxiv.org/abs/2005.04118)."""

import re

import pytest
from fastapi.testclient import TestClient


def positive(client: TestClient, texts: list[str]) -> list[float]:
    """The probability of POSITIVE, for each text."""
    predictions = client.post("/predict", json={"text": texts}).json()["predictions"]
    return [next(score["score"] for score in scores if score["label"] == "POSITIVE") for scores in predictions]


@pytest.mark.parametrize(
    "text",
    ["I love you!", "What a wonderful film.", "a charming and funny story", "The best I have seen in years", "Great!"]
    + ["not bad at all", "I enjoyed every minute of it."],
)
def test_praise_is_positive(client: TestClient, text: str) -> None:
    assert positive(client, [text])[0] > 0.5


@pytest.mark.parametrize(
    "text",
    ["I hate you!", "What a terrible film.", "a dull and stupid story", "The worst I have seen in years", "Awful!"]
    + ["not good", "I regret every minute of it."],
)
def test_criticism_is_negative(client: TestClient, text: str) -> None:
    assert positive(client, [text])[0] < 0.5


def test_directional_not_makes_praise_negative(client: TestClient) -> None:
    praise = ["good", "funny", "interesting", "worth seeing", "a good film"]
    negated, plain = (positive(client, [f"{start} {word}" for word in praise]) for start in ("it is not", "it is"))
    assert max(negated) < 0.5 < min(plain)


def test_invariance_case_and_white_space_do_not_change_the_score(client: TestClient) -> None:
    assert len(set(positive(client, ["A good film", "a GOOD film", "  a good\tfilm\n"]))) == 1


def test_invariance_other_texts_in_the_batch_do_not_change_the_scores(client: TestClient, texts: list[str]) -> None:
    """Dynamic quantization fails this test: there, the scale of a batch depends on all of its texts."""
    alone = [score for text in texts[:40] for score in positive(client, [text])]
    assert positive(client, texts[:40]) == pytest.approx(alone, abs=1e-4)


def test_scores_have_4_plain_decimals_and_sum_to_1(client: TestClient, texts: list[str]) -> None:
    body = client.post("/predict", json={"text": texts}).text
    pairs = re.findall(r'\{"label":"NEGATIVE","score":([^}]+)\},\{"label":"POSITIVE","score":([^}]+)\}', body)
    assert len(pairs) == len(texts)
    for pair in pairs:
        assert all(re.fullmatch(r"0\.\d{1,4}|1\.0", score) for score in pair)
        assert sum(map(float, pair)) == pytest.approx(1, abs=1.1e-4)
