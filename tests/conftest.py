from __future__ import annotations

import pytest
import torch
from hypothesis import settings

settings.register_profile("paretomerge", deadline=None, derandomize=True, database=None, print_blob=False)
settings.load_profile("paretomerge")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests of several workers share few cores, and one thread gives the same rounding everywhere."""
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
