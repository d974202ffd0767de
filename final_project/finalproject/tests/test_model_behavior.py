"""What the model has learned, on sentences that it has not seen."""

import os

import pytest
from fastapi.testclient import TestClient

from trainer.data import SOURCE, read


def positive(client: TestClient, rows: list[str]) -> list[float]:
    """For each text, how sure the model is that it is positive."""
    predictions = client.post("/predict", json={"text": rows}).json()["predictions"]
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
def test_blame_is_negative(client: TestClient, text: str) -> None:
    assert positive(client, [text])[0] < 0.5


def test_not_turns_a_sentence_around(client: TestClient) -> None:
    good = ["good", "funny", "interesting", "worth seeing", "a good film"]
    with_it, without = (positive(client, [f"{start} {word}" for word in good]) for start in ("it is not", "it is"))
    assert all(there < 0.5 < bare for there, bare in zip(with_it, without, strict=True))


def test_case_and_space_do_not_matter(client: TestClient) -> None:
    assert len(set(positive(client, ["A good film", "a GOOD film", "  a good\tfilm\n"]))) == 1


def test_of_the_dev_set_of_sst_2_it_is_right_on_nine_of_ten(client: TestClient) -> None:
    """$SST2_DEV, else the public source, else skipped."""
    try:
        dev = read("dev", os.environ.get("SST2_DEV", SOURCE))
    except (OSError, EOFError, ValueError) as error:
        if "SST2_DEV" in os.environ:
            raise
        pytest.skip(f"no SST-2: set SST2_DEV to its dev.tsv ({error})")
    scores = positive(client, [example.text for example in dev])
    right = sum((score > 0.5) == (example.label == 1) for score, example in zip(scores, dev, strict=True))
    assert right / len(dev) >= 0.9  # 0.906, and another processor rounds differently
