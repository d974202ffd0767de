"""California housing as StatLib has it: 20,640 block groups of the 1990 census (Pace and Barry, Sparse Spatial
Autoregressions, 1997)."""

import gzip
import hashlib
import io
import tarfile
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SOURCE = (
    "https://ndownloader.figshare.com/files/5976036"  # StatLib's archive, at the address scikit-learn takes it from
)
DIGEST = "d3d8a1a722ae78f91134862727d27a70b1415e7d512a89140406248687f4b902"  # of cal_housing.data in it


def read(source: str = SOURCE) -> bytes:
    """The bytes of cal_housing.data from an https address or a path: as it is, in a .gz, or in StatLib's .tgz."""
    if source.startswith(("https://", "http://127.0.0.1:")):
        with urlopen(source, timeout=60) as answer:  # noqa: S310 - the scheme is checked
            content: bytes = answer.read()
    else:
        with open(source, "rb") as file:
            content = file.read()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = archive.extractfile("CaliforniaHousing/cal_housing.data")
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise ValueError(f"{source} is not StatLib's cal_housing.data: its SHA-256 differs")
    return content


def features_and_target(content: bytes) -> tuple[Array, Array]:
    """The eight features (20640, 8), made and ordered as scikit-learn does, and the median values (20640,) in 100,000
    dollars."""
    columns = np.loadtxt(io.BytesIO(content), delimiter=",").T
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = columns
    per_household = np.array([rooms, bedrooms, population]) / households
    features = [income, age, per_household[0], per_household[1], population, per_household[2], latitude, longitude]
    return np.column_stack(features), value / 100_000
