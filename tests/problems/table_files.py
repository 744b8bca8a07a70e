"""Files of examples that other programs write, for the tests of reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pyarrow = pytest.importorskip("pyarrow", reason="the optional extra data is not installed")
datasets = pytest.importorskip("datasets", reason="the optional extra data is not installed")

datasets.disable_progress_bars()


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], **how: Any) -> Path:
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(dict(columns)), path, **how)
    return path


def data_set(columns: Mapping[str, Sequence[Any]], **classes: Sequence[str]) -> Any:
    """A data set whose columns of numbers stand for `classes`."""
    found = datasets.Dataset.from_dict(dict(columns))
    for name, names in classes.items():
        found = found.cast_column(name, datasets.ClassLabel(names=list(names)))
    return found
