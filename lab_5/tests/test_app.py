"""The variants of lab_4's service for the experiments predict what the service predicts."""

from pathlib import Path

import pytest

from services import EXAMPLE, HERE, LAB_4, get, predict, service

BLOCK_GROUPS = [EXAMPLE | {"MedInc": number % 40} for number in range(50)]  # more than a batch


@pytest.mark.parametrize(("variant", "calls"), [({"MODEL_MS": "5"}, 1), ({"MAX_BATCH": "32"}, 2)], ids=str)
def test_variant_returns_the_predictions_of_the_service(
    url: str, variant: dict[str, str], calls: int, tmp_path: Path
) -> None:
    with service(LAB_4, "bench.app:app", tmp_path / "log", HERE, PYTHONPATH=str(LAB_4), **variant) as other:
        predictions, _ = predict(other, BLOCK_GROUPS)
        assert f"model_inference_batch_size_count {calls}.0\n" in get(f"{other}/metrics")
    assert predictions == predict(url, BLOCK_GROUPS)[0]
    assert len(set(predictions)) > 10
