"""The trained pipeline. Its checksum is verified before it is loaded, because unpickling runs code from the file."""

import hashlib
import json
from io import BytesIO
from operator import attrgetter
from pathlib import Path

import joblib
import numpy as np
import sklearn

from .errors import StartupError
from .schemas import BlockGroup


class HousingModel:
    """The scikit-learn pipeline in `path`. Raises a StartupError if the file is not the one in its manifest.json."""

    def __init__(self, path: Path) -> None:
        try:
            pickled, manifest = path.read_bytes(), json.loads(path.with_name("manifest.json").read_bytes())
            self.sha256 = hashlib.sha256(pickled).hexdigest()
            if self.sha256 != manifest["sha256"]:
                raise ValueError("its SHA-256 is not the one in manifest.json")
            if (version := manifest["versions"]["scikit-learn"]) != sklearn.__version__:
                raise ValueError(f"it needs scikit-learn {version}, not {sklearn.__version__}")
            self._pipeline = joblib.load(BytesIO(pickled))
        except Exception as error:  # unpickling can raise any exception
            raise StartupError(f"MODEL_PATH: cannot load {path} and its manifest.json: {error!r}") from error

    def predict(self, block_groups: list[BlockGroup]) -> list[float]:
        """Median house values in 100,000 dollars, in the order of the block groups, in one call of the pipeline."""
        if not block_groups:
            return []
        rows = np.array(list(map(attrgetter(*BlockGroup.model_fields), block_groups)))  # (n, 8), columns as in training
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # 0.1 ms; the schema did it
            return list(map(float, self._pipeline.predict(rows)))
