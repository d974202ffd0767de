"""The variants of lab_4's service in bench/ predict what the service predicts."""

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from bench.lab_4 import lab_4, variant
from dashboards.traffic import BLOCK_GROUP


def predictions(url: str) -> list[float]:
    block_groups = [BLOCK_GROUP | {"MedInc": number % 40} for number in range(50)]  # more than a batch; some are equal
    body = json.dumps({"data": block_groups}).encode()
    with urlopen(Request(f"{url}/predict", body), timeout=60) as response:  # noqa: S310 - one of ours
        found: list[float] = json.load(response)["predictions"]
    assert len(set(found)) > 10
    return found


@pytest.mark.parametrize("app", ["bench.slow:app", "bench.batched:app"])
def test_variant_returns_the_predictions_of_the_service(app: str, tmp_path: Path) -> None:
    with lab_4(tmp_path) as url, variant(app, tmp_path, MILLISECONDS="1") as other:
        assert predictions(other) == predictions(url)
