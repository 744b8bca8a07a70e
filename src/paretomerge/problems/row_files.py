"""Files of text that hold a row of examples each: JSON and delimiter-separated values, in UTF-8.

`.jsonl` (an object per line), `.json` (a list of objects, or objects line by line under that name), `.csv` and `.tsv`
(with a header).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import DataError
from paretomerge.problems.tables import Row, Table, described

Numbered = Iterator[tuple[int, Row]]


def read_rows(path: Path) -> Table:
    """All rows of a file of text; blank lines are skipped.

    Raises:
        DataError: no rows, a broken line (with its number), or bytes that are not UTF-8.
        StorageError: the disk refused to read.
    """
    try:
        with storage_errors(path, "read"):
            is_list = path.suffix == ".json" and _begins_a_list(path)
            found = list((_json_list if is_list else ROW_FILES[path.suffix])(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the file is not UTF-8 text ({error.reason}): save it in UTF-8") from error
    if not found:
        raise DataError(f"{path}: the file holds no examples")
    numbers, rows = zip(*found, strict=True)
    return Table(str(path), rows, numbers, "row" if is_list else "line", path.parent)


def _json_lines(path: Path) -> Numbered:
    # utf-8-sig: some editors begin a file with a byte order mark.
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(
                    f"{path}, line {number}: this is not JSON ({error}); write one object per line"
                    + (", or all of them as one list" if path.suffix == ".json" else "")
                ) from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected an object such as {{...}}, got {described(row)}")
            yield number, row


def _begins_a_list(path: Path) -> bool:
    with path.open(encoding="utf-8-sig") as handle:
        for line in handle:
            if line.strip():
                return line.lstrip().startswith("[")
    return False


def _json_list(path: Path) -> Numbered:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: this is not JSON ({error})") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected an object such as {{...}}, got {described(row)}")
        yield number, row


def _comma_separated(path: Path) -> Numbered:
    return _separated(path, ",")


def _tab_separated(path: Path) -> Numbered:
    """Tabs between fields, whose quotation marks either quote, as in CSV, or are characters like others.

    Nothing in a file says which. They quote where every line then has its fields and none goes over a line's end;
    else they are characters, if every line has its fields that way.
    """
    broken: DataError | None = None
    quoted: list[tuple[int, Row]] = []
    try:
        quoted = list(_separated(path, "\t"))
    except DataError as error:
        broken = error
    if broken is None and not any("\n" in field for _, row in quoted for field in row.values()):
        return iter(quoted)
    try:
        return iter(list(_separated(path, "\t", csv.QUOTE_NONE)))
    except DataError:
        if broken is not None:
            raise broken from None
        return iter(quoted)


def _separated(path: Path, delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> Numbered:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        lines = csv.reader(handle, strict=True, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        header: list[str] | None = None
        try:
            for fields in lines:
                if not fields:
                    continue
                if header is None:
                    header = _checked_header(path, fields)
                    continue
                if len(fields) != len(header):
                    between = "commas" if delimiter == "," else "tabs"
                    raise DataError(
                        f"{path}, line {lines.line_num}: {len(fields)} fields, but the header has {len(header)} "
                        f"({', '.join(header)}): put text with {between} or line breaks in double quotes"
                    )
                yield lines.line_num, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            kind = "CSV" if delimiter == "," else "TSV"
            raise DataError(f"{path}, line {lines.line_num}: this is not {kind} ({error})") from error


def _checked_header(path: Path, fields: list[str]) -> list[str]:
    twice = [name for name in fields if fields.count(name) > 1]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}: the first line must name every column once")
    return fields


ROW_FILES: dict[str, Callable[[Path], Numbered]] = {
    ".jsonl": _json_lines,
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".json": _json_lines,
}
"""How files are read, by what their names end in."""
