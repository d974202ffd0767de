import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.live import Live, live, missing

os.environ["no_proxy"] = ",".join(filter(None, ["127.0.0.1", os.environ.get("no_proxy")]))


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The service, with Valkey, a second one that is broken, and a Prometheus that asks them every second."""
    if missing():
        pytest.skip(missing())
    folder: Path = tmp_path_factory.mktemp("live")
    with live(folder) as urls:
        yield urls
