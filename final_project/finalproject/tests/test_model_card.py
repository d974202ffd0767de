"""MODEL.md shows the figures of manifest.json, and these are the figures of the model."""

import json
import os
import re

import pytest

from finalproject.model import FILES, SentimentModel
from tests.conftest import PROJECT
from trainer.data import DIGESTS, SOURCE, read
from trainer.model_card import NEGATIONS, PROBES, calibration_error, evaluate, positive_probability, tables, wilson

MANIFEST = json.loads((PROJECT / "model" / "manifest.json").read_text())
PAGE = (PROJECT.parent / "MODEL.md").read_text()
FIGURES = MANIFEST["scores"]


@pytest.fixture(scope="module")
def model() -> SentimentModel:
    return SentimentModel(PROJECT / "model")


def test_page_shows_the_tables_of_the_manifest() -> None:
    for table in tables(FIGURES):
        assert table in PAGE
    assert f"expected calibration error: {calibration_error(FIGURES):.3f}" in PAGE
    assert ", ".join(f"`{word}`" for word in NEGATIONS) in PAGE


def test_page_shows_the_checksums_of_the_manifest_and_of_the_model(model: SentimentModel) -> None:
    for name in FILES:
        assert f"{MANIFEST['files'][name]['sha256']}  {name}\n" in PAGE
        assert MANIFEST["files"][name]["size"] == (PROJECT / "model" / name).stat().st_size
    assert f"{model.sha256}  -\n" in PAGE


def test_page_shows_the_other_figures_of_the_manifest_and_of_the_learning_curve() -> None:
    curve = json.loads((PROJECT.parent / "images" / "learning-curve.json").read_text())
    accuracies = [point["dev_average"] for point in curve]
    best = accuracies.index(max(accuracies))
    size = sum(entry["size"] for entry in MANIFEST["files"].values())
    for text in (
        f"more than {FIGURES['max_tokens']} tokens",
        f"The largest probability is {FIGURES['max_probability']:.3f},",
        f"The selected weights classify {round(accuracies[best] * 872)} of 872 sentences",
        f"The committed int8 model classifies {FIGURES['accuracy']['all']['correct']} of 872 sentences",
        f"gave {accuracies[best - 1]:.1%} and {accuracies[best + 1]:.1%}.".replace("%", " %"),
        f"took {curve[-1]['seconds'] / 60:.0f} minutes",
        f"{size / 1e6:.1f} MB",
    ):
        assert text in PAGE


def test_python_on_the_page_is_an_excerpt_of_the_code() -> None:
    sources = [path.read_text() for folder in ("finalproject", "trainer") for path in (PROJECT / folder).glob("*.py")]
    excerpts = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert excerpts
    assert [excerpt for excerpt in excerpts if not any(excerpt in source for source in sources)] == []


def test_groups_of_examples_add_up_to_all_of_them() -> None:
    groups = FIGURES["accuracy"]
    assert (groups["all"]["examples"], groups["all"]["correct"]) == (872, 790)
    for kind in ("label", "token", "negation"):
        for key in ("examples", "correct"):
            assert sum(row[key] for name, row in groups.items() if kind in name) == groups["all"][key]
    assert sum(row["correct"] for row in FIGURES["calibration"].values()) == groups["all"]["correct"]
    assert MANIFEST["data"] == {"source": SOURCE, "sha256": DIGESTS}


def test_figures_support_the_conclusions_of_the_page() -> None:
    groups = FIGURES["accuracy"]
    intervals = {name: wilson(row["correct"], row["examples"]) for name, row in groups.items()}
    shares = [row["correct"] / row["examples"] for name, row in groups.items() if "tokens" in name]
    assert shares == sorted(shares, reverse=True)
    assert intervals["1 to 16 tokens"][0] > intervals["33 to 512 tokens"][1]
    assert intervals["with a negation word"][1] > intervals["without a negation word"][0]
    *_, canada, iraq, tall, deaf = FIGURES["probes"].values()
    assert min(canada - iraq, tall - deaf) > 0.8


def test_wilson_interval_is_that_of_the_literature() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_model_has_the_scores_of_the_probes(model: SentimentModel) -> None:
    """Processors without VNNI round some sums differently."""
    assert list(FIGURES["probes"]) == list(PROBES)
    scores = {text: positive_probability(model, *model.encode([text])) for text in PROBES}
    assert scores == pytest.approx(FIGURES["probes"], abs=0.05)


def test_model_has_the_accuracy_of_the_manifest_on_the_dev_set(model: SentimentModel) -> None:
    """The data is $SST2_DEV, otherwise from the public source."""
    try:
        dev = read("dev", os.environ.get("SST2_DEV", SOURCE))
    except (OSError, EOFError, ValueError) as error:
        if "SST2_DEV" in os.environ:
            raise
        pytest.skip(f"no SST-2: set SST2_DEV to its dev.tsv ({error})")
    figures = evaluate(model, dev)
    assert figures["accuracy"].keys() == FIGURES["accuracy"].keys()
    for name, row in figures["accuracy"].items():
        assert row["examples"] == FIGURES["accuracy"][name]["examples"]
        assert row["correct"] == pytest.approx(FIGURES["accuracy"][name]["correct"], abs=4)
