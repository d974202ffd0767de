"""What the model has learned. The kinds of tests are those of CheckList (https://arxiv.org/abs/2005.04118)."""

import re

import pytest
from fastapi.testclient import TestClient


def positive(client: TestClient, texts: list[str]) -> list[float]:
    """The probability of POSITIVE, for each text."""
    predictions = client.post("/predict", json={"text": texts}).json()["predictions"]
    return [next(score["score"] for score in scores if score["label"] == "POSITIVE") for scores in predictions]


def test_praise_is_positive_and_criticism_negative(client: TestClient) -> None:
    praise = ["I love you!", "What a wonderful film.", "The best I have seen in years", "Great!", "not bad at all"]
    criticism = ["I hate you!", "What a terrible film.", "The worst I have seen in years", "Awful!", "not good"]
    assert max(positive(client, criticism)) < 0.5 < min(positive(client, praise))


def test_directional_not_makes_praise_negative(client: TestClient) -> None:
    praise = ["good", "funny", "interesting", "worth seeing", "a good film"]
    negated, plain = (positive(client, [f"{start} {word}" for word in praise]) for start in ("it is not", "it is"))
    assert max(negated) < 0.5 < min(plain)


def test_invariance_case_and_white_space_do_not_change_the_score(client: TestClient) -> None:
    assert len(set(positive(client, ["A good film", "a GOOD film", "  a good\tfilm\n"]))) == 1


def test_scores_have_4_plain_decimals_and_sum_to_1(client: TestClient, texts: list[str]) -> None:
    body = client.post("/predict", json={"text": texts}).text
    score = r"(0\.\d{1,4}|1\.0)"
    pairs = re.findall(rf'\{{"label":"NEGATIVE","score":{score}\}},\{{"label":"POSITIVE","score":{score}\}}', body)
    assert [sum(map(float, pair)) for pair in pairs] == [pytest.approx(1, abs=1.1e-4)] * len(texts)
