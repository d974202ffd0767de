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

from .schemas import BlockGroup


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
        self._pipeline = joblib.load(BytesIO(pickled))  # runs code from the file, so not before its digest was right

    def predict(self, block_groups: Sequence[BlockGroup]) -> list[float]:
        """Median house values, 100,000 dollars, one a block group, in one call of the pipeline."""
        if not block_groups:
            return []
        features = attrgetter(*BlockGroup.model_fields)
        rows = np.array([features(block_group) for block_group in block_groups])
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # the schema saw to that
            prices: list[float] = self._pipeline.predict(rows).tolist()
        return prices
