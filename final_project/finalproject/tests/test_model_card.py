"""MODEL.md shows the figures of manifest.json, and these are the figures of the model."""

import json
import os
from hashlib import sha256

import pytest

from finalproject.main import model
from finalproject.model import FILES
from tests.conftest import PROJECT
from trainer.data import DIGESTS, SOURCE, read
from trainer.model_card import (
    NEGATIONS,
    PROBES,
    calibration_error,
    evaluate,
    percent,
    positive_probability,
    tables,
    wilson,
)

MANIFEST = json.loads((PROJECT / "model" / "manifest.json").read_text())
PAGE = (PROJECT.parent / "MODEL.md").read_text()
FIGURES = MANIFEST["scores"]


def test_page_shows_the_figures_of_the_manifest_and_of_the_learning_curve() -> None:
    curve = json.loads((PROJECT.parent / "images" / "learning-curve.json").read_text())
    selected = max(point["accuracy"] for point in curve)
    size = sum(entry["size"] for entry in MANIFEST["files"].values())
    for text in (
        *tables(FIGURES),
        f"expected calibration error: {calibration_error(FIGURES):.3f}",
        f"more than {FIGURES['max_tokens']} tokens",
        f"The largest probability is {FIGURES['max_probability']:.3f},",
        f"The selected weights have an accuracy of {percent(selected)} on the held-out sentences",
        f"The committed int8 model classifies {FIGURES['accuracy']['all']['correct']} of 872 sentences",
        f"the dev set gives {percent(FIGURES['accuracy']['all']['correct'] / 872)}",
        f"took {curve[-1]['seconds'] / 60:.0f} minutes",
        f"{size / 1e6:.1f} MB",
        ", ".join(f"`{word}`" for word in NEGATIONS),
    ):
        assert text in PAGE
    assert MANIFEST["data"] == {"source": SOURCE, "sha256": DIGESTS}


def test_page_shows_the_checksums_of_the_manifest_and_of_the_model_as_sha256sum_prints_them() -> None:
    lines = "".join(f"{MANIFEST['files'][name]['sha256']}  {name}\n" for name in FILES)
    assert model.sha256 == sha256(lines.encode()).hexdigest()
    assert all(line in PAGE for line in (*lines.splitlines(), f"{model.sha256}  -\n"))
    assert all(MANIFEST["files"][name]["size"] == (PROJECT / "model" / name).stat().st_size for name in FILES)


def test_figures_support_the_conclusions_of_the_page() -> None:
    intervals = {name: wilson(row["correct"], row["examples"]) for name, row in FIGURES["accuracy"].items()}
    assert intervals["1 to 16 tokens"][0] < intervals["33 to 512 tokens"][1]
    assert intervals["with a negation word"][1] > intervals["without a negation word"][0]
    *_, canada, iraq, tall, deaf = FIGURES["probes"].values()
    assert min(canada - iraq, tall - deaf) > 0.5


def test_wilson_interval_is_that_of_the_literature() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_model_has_the_scores_of_the_probes() -> None:
    """Processors without VNNI round some sums differently."""
    scores = {text: positive_probability(model, *model.encode([text])) for text in PROBES}
    assert scores == pytest.approx(FIGURES["probes"], abs=0.05)


def test_model_has_the_accuracy_of_the_manifest_on_the_dev_set() -> None:
    """The data is $SST2_DEV, otherwise from the public source."""
    try:
        dev = read("dev", os.environ.get("SST2_DEV", SOURCE))
    except (OSError, EOFError, ValueError) as error:
        if "SST2_DEV" in os.environ:
            raise
        pytest.skip(f"no SST-2: set SST2_DEV to its dev.tsv ({error})")
    accuracy = evaluate(model, dev)["accuracy"]
    assert accuracy.keys() == FIGURES["accuracy"].keys()
    for name, row in FIGURES["accuracy"].items():
        assert accuracy[name] == {"examples": row["examples"], "correct": pytest.approx(row["correct"], abs=4)}
