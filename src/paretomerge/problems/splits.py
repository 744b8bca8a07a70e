"""The training, validation and test examples of a task: as they are given, or shares of one table.

Examples come in a fixed random order that depends on their contents and a seed alone, not on the order of the file:
the first ones are a random sample wherever only some are used. Rows with the same text stay in one split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from paretomerge.errors import DataError
from paretomerge.problems.sources import Source, find_tables
from paretomerge.problems.split_files import NAMES
from paretomerge.problems.tables import Table
from paretomerge.types import Split


@dataclass(frozen=True)
class Splitting:
    """How examples are taken.

    Args:
        shares: of training, validation and test where a task comes as one file.
        seed: of the shares, and of the order. Finetunes know their training examples: keep it for good.
        examples: how many of every split, all when `None`.

    Raises:
        DataError: shares that are negative or do not sum to one, or a number of examples that is not positive.
    """

    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    examples: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        shares = self.shares
        is_sound = len(shares) == 3 and all(math.isfinite(share) and share >= 0 for share in shares)
        if not is_sound or abs(sum(shares) - 1) > 1e-6:
            raise DataError(
                f"shares: the parts of training, validation and test must be three numbers of at least 0 that sum to "
                f"1, such as [0.8, 0.1, 0.1]; got {list(shares)}"
            )
        if self.examples is not None and self.examples < 1:
            raise DataError(f"examples: at least one per split is needed, got {self.examples}")


def read_splits(task: str, source: Source, key: str, setting: str, how: Splitting) -> dict[Split, Table]:
    """The examples of a task by split, in their random order; a split that has no file is left out.

    Args:
        task: its name, for messages.
        source: where its examples are.
        key: the column whose equal texts stay in one split.
        setting: which setting names that column.
        how: shares, seed, number of examples.

    Raises:
        DataError: nothing there, a broken file, a missing column, or too few rows to share out.
        MissingExtraError: the data are parquet or a saved data set, and the extra `data` is not installed.
        StorageError: the disk refused to read.
    """
    tables = find_tables(task, source)
    if isinstance(tables, Table):
        tables = share_out(tables, tables.texts(key, setting, may_be_empty=True), how)
    return {split: sample(table, table.contents(key, setting), how) for split, table in tables.items()}


def read_sample(source: Source, task: str = "data") -> Table:
    """Some examples of a task, to look at: its training rows, else those of its first split, as they are stored.

    Raises:
        DataError, MissingExtraError, StorageError: as `read_splits`.
    """
    tables = find_tables(task, source)
    return tables if isinstance(tables, Table) else next(tables[split] for split in NAMES if split in tables)


def share_out(table: Table, keys: Sequence[str], how: Splitting) -> dict[Split, Table]:
    """The shares of a table; rows with equal keys stay in one split.

    Raises:
        DataError: fewer different keys than splits.
    """
    distinct = sorted(set(keys), key=lambda key: _digest(key, how.seed))
    wanted = [split for split, share in zip(NAMES, how.shares, strict=True) if share > 0]
    if len(distinct) < len(wanted):
        raise DataError(
            f"{table.source}: {len(distinct)} different examples are too few for {' and '.join(wanted)}: give more "
            "examples, or a folder with a file per split"
        )
    split_of: dict[str, Split] = {}
    start, total = 0, 0.0
    for split, share in zip(NAMES, how.shares, strict=True):
        total += share
        if split not in wanted:
            continue
        later = len(wanted) - wanted.index(split) - 1
        # Every split that has a share gets at least one text.
        stop = min(max(round(total * len(distinct)), start + 1), len(distinct) - later)
        split_of |= dict.fromkeys(distinct[start:stop], split)
        start = stop
    return {split: table.take(i for i, key in enumerate(keys) if split_of[key] == split) for split in wanted}


def sample(table: Table, contents: Sequence[str], how: Splitting) -> Table:
    """The rows in a random order that depends on their contents and the seed, or the first of them."""
    digests = [_digest(content, how.seed) for content in contents]
    return table.take(sorted(range(len(table)), key=digests.__getitem__)[: how.examples])


def _digest(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{text}".encode("utf-8", "surrogatepass")).digest()
