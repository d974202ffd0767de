"""The trained pipeline: loaded once, from a file that is what its manifest says, and asked a batch at a time."""

import hashlib
import json
import sys
from collections.abc import Sequence
from io import BytesIO
from operator import attrgetter
from pathlib import Path

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray

from .schemas import BlockGroup


def features(block_groups: Sequence[BlockGroup]) -> NDArray[np.float64]:
    """(n, 8), in the order of the model's training."""
    values = attrgetter(*BlockGroup.model_fields)
    return np.array([values(block_group) for block_group in block_groups]).reshape(-1, 8)


class HousingModel:
    """The pipeline in `path`, or the end of the process with one line that says what is wrong with the file."""

    def __init__(self, path: Path) -> None:
        try:
            pickled = path.read_bytes()
            manifest = json.loads(path.with_name("manifest.json").read_bytes())
            digest, version = manifest["sha256"], manifest["versions"]["scikit-learn"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            sys.exit(f"MODEL_PATH: {path}, or the manifest.json beside it, cannot be read: {error!r}")
        if hashlib.sha256(pickled).hexdigest() != digest:
            sys.exit(f"MODEL_PATH: {path} is not the file that its manifest.json describes: cut short, or another one")
        if version != sklearn.__version__:
            sys.exit(f"MODEL_PATH: {path} is from scikit-learn {version}, not {sklearn.__version__}: train it again")
        self.digest: str = digest
        self._pipeline = joblib.load(BytesIO(pickled))  # runs code from the file, so not before its digest was right

    def predict(self, rows: NDArray[np.float64]) -> list[float]:
        """Median house values, 100,000 dollars, (n,) of features (n, 8), in one call of the pipeline."""
        if not len(rows):
            return []
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # the schema saw to that
            prices: list[float] = self._pipeline.predict(rows).tolist()
        return prices
