from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.running import Server, can_inject
from tests.faults.scenarios import Stand
from tests.tiny import make_folder


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Where commands are tried."""
    if not can_inject():
        pytest.skip("faults are injected on Linux with a C compiler")
    scratch = tmp_path_factory.mktemp("faults")
    with Server(scratch) as server:
        yield Stand(server, make_folder(scratch / "tiny"), scratch)
