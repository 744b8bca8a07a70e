from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import make_folder

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),  # workers import what tests define
    "RAY_AUTH_MODE": "disabled",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
}
STORE = 150 * 2**20


@pytest.fixture(scope="session")
def ray_environment() -> Iterator[Any]:
    """Ray without its dashboard, its memory monitor and the network."""
    ray = pytest.importorskip("ray")
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    os.environ.pop("RAY_ADDRESS", None)
    yield ray
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def one_node(ray_environment: Any) -> Iterator[Any]:
    """A Ray of this machine alone, with two CPUs, whatever else runs here."""
    ray_environment.init(
        address="local", include_dashboard=False, log_to_driver=False, num_cpus=2, object_store_memory=STORE
    )
    yield ray_environment
    ray_environment.shutdown()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study nobody changes; its runs go elsewhere."""
    return make_folder(tmp_path_factory.mktemp("tiny") / "study")
