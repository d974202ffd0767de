from collections.abc import Iterator

import pytest

from services import LAB_4, service, valkey, wait_for_cache


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """lab_4's service, whose cache is in use."""
    folder = tmp_path_factory.mktemp("lab_4")
    with valkey(folder) as redis, service(LAB_4, "src.main:app", folder / "log", LAB_4, REDIS_URL=redis) as address:
        wait_for_cache(address)
        yield address
