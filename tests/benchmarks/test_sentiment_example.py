"""The example's scripts are borrowed without a trace."""

from __future__ import annotations

import sys
from importlib import import_module, reload
from types import ModuleType

import pytest

pytest.importorskip("transformers")
pytest.importorskip("sklearn")


def test_neither_the_path_nor_bare_names_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ModuleType("model")
    monkeypatch.setitem(sys.modules, "model", mine)
    before = list(sys.path)

    found = reload(import_module("benchmarks.sentiment_example"))

    assert sys.modules["model"] is mine
    assert sys.path == before
    assert not {"assets", "data"} & set(sys.modules)
    assert found.TASKS == ("movie", "amazon", "tweets")
