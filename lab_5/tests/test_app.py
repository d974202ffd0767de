"""The variants of lab_4's service for the experiments predict what the service predicts."""

from pathlib import Path

import pytest

from services import EXAMPLE, HERE, LAB_4, predict, service

BLOCK_GROUPS = [EXAMPLE | {"MedInc": number % 40} for number in range(50)]  # more than a batch


@pytest.mark.parametrize("variant", [{"MODEL_MS": "5"}, {"MAX_BATCH": "32"}], ids=str)
def test_variant_returns_the_predictions_of_the_service(url: str, variant: dict[str, str], tmp_path: Path) -> None:
    with service(LAB_4, "bench.app:app", tmp_path / "log", HERE, PYTHONPATH=str(LAB_4), **variant) as other:
        predictions, _ = predict(other, BLOCK_GROUPS)
    assert predictions == predict(url, BLOCK_GROUPS)[0]
    assert len(set(predictions)) > 10
