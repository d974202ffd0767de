"""The California housing data of StatLib: 20,640 block groups of the 1990 census.

Source: Pace and Barry, Sparse Spatial Autoregressions, 1997.
"""

import gzip
import hashlib
import io
import tarfile
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SOURCE = "https://ndownloader.figshare.com/files/5976036"  # scikit-learn downloads the same archive
DIGEST = "d3d8a1a722ae78f91134862727d27a70b1415e7d512a89140406248687f4b902"  # SHA-256 of cal_housing.data


def read(source: str = SOURCE) -> bytes:
    """The bytes of cal_housing.data from an https URL or a path: plain, as .gz, or in StatLib's .tgz.

    Raises a ValueError if the SHA-256 differs.
    """
    if source.startswith(("https://", "http://127.0.0.1:")):
        with urlopen(source, timeout=60) as response:  # noqa: S310 - the scheme is checked
            content: bytes = response.read()
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
        raise ValueError(f"{source} is not StatLib's cal_housing.data: the SHA-256 differs")
    return content


def features_and_target(content: bytes) -> tuple[Array, Array]:
    """Features (20640, 8), computed and ordered as in scikit-learn, and median values (20640,) in 100,000 dollars."""
    columns = np.loadtxt(io.BytesIO(content), delimiter=",").T
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = columns
    per_household = np.array([rooms, bedrooms, population]) / households
    features = [income, age, per_household[0], per_household[1], population, per_household[2], latitude, longitude]
    return np.column_stack(features), value / 100_000
