from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import copy_folder, make_folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study nobody changes; its runs go elsewhere."""
    return make_folder(tmp_path_factory.mktemp("tiny") / "study")


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return copy_folder(tiny, tmp_path / "study")
