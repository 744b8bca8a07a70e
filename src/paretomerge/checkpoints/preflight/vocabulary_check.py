"""Do base and finetunes mean the same token by the same row of their embeddings?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from paretomerge.checkpoints.findings import Finding
from paretomerge.checkpoints.repairs.vocabulary import Vocabulary, embedding_rows, has_token_rows, read_vocabulary
from paretomerge.errors import CheckpointError
from paretomerge.types import Params, spec_of


def compare_vocabularies(base: Params, finetunes: Mapping[str, Params], kept: Collection[str]) -> list[Finding]:
    """Embeddings with other numbers of rows, tokens in other rows, and tokens the base does not know.

    Nothing is compared where the embedding is left out of the merge.
    """
    count = embedding_rows(base)
    tables = [name for name in base if name not in kept and has_token_rows(name, spec_of(base, name), count)]
    if not tables:
        return []
    known = {"": _vocabulary(base), **{task: _vocabulary(tune) for task, tune in finetunes.items()}}
    choice = _advised(known)
    findings = []
    for task, tune in finetunes.items():
        rows = embedding_rows(tune)
        resized = [name for name in tables if name in tune and spec_of(tune, name).shape != spec_of(base, name).shape]
        resized = [name for name in resized if has_token_rows(name, spec_of(tune, name), rows)]
        if resized:
            findings.append(_resized(task, resized, rows or 0, count or 0, known, choice))
        elif known[""] is not None and known[task] is not None:
            findings += _moved(task, tables, count or 0, known[""], known[task], choice)
    return findings


def _resized(
    task: str, names: list[str], rows: int, count: int, known: Mapping[str, Vocabulary | None], choice: str | None
) -> Finding:
    base, own = known[""], known[task]
    seen = f"has {rows} rows of tokens, the base {count} ({', '.join(map(repr, names[:3]))}): another vocabulary"
    if base is not None and own is not None:
        new, gone = len(own.rows.keys() - base.rows.keys()), len(base.rows.keys() - own.rows.keys())
        seen += f", {new} tokens more and {gone} fewer"
    else:
        seen += ", whose tokens cannot be read (no tokenizer.json, vocab.json or vocab.txt beside one of the two)"
    message = f"{seen}. --tokenizer base keeps the base's tokens" + (
        ", --tokenizer union all of them" if choice == "union" else ""
    )
    repair = ("--tokenizer", choice) if choice else ()
    return Finding("error", "vocabulary", task, names[0], message, tuple(names), repair)


def _moved(
    task: str, names: list[str], rows: int, base: Vocabulary | None, own: Vocabulary | None, choice: str | None
) -> list[Finding]:
    """As many rows, but of other tokens."""
    if base is None or own is None:
        return []
    moved = [token for token, row in own.rows.items() if base.rows.get(token, row) != row]
    moved = list(dict.fromkeys([*moved, *_replaced(base, own)]))
    if moved:
        shown = ", ".join(map(repr, moved[:3]))
        message = (
            f"has as many rows of tokens as the base ({rows}), but {len(moved)} of its tokens are in other rows "
            f"({shown} …): rows of different tokens would be added up. --tokenizer {choice or 'base'} puts them "
            "in order"
        )
        repair = ("--tokenizer", choice or "base")
        return [Finding("error", "vocabulary", task, names[0], message, tuple(names), repair)]
    new = [token for token in own.rows if token not in base.rows]
    if new:
        message = (
            f"has {len(new)} tokens that the base lacks ({', '.join(map(repr, new[:3]))} …), in rows that are padding "
            "there: they are merged with untrained rows. --tokenizer union takes them from the models that know them"
        )
        return [Finding("warning", "vocabulary", task, names[0], message, tuple(names))]
    return []


def _replaced(base: Vocabulary, own: Vocabulary) -> list[str]:
    """Tokens of the finetune in rows that belong to another token of the base."""
    taken: dict[int, set[str]] = {}
    for token, row in base.rows.items():
        taken.setdefault(row, set()).add(token)
    own_rows: dict[int, set[str]] = {}
    for token, row in own.rows.items():
        own_rows.setdefault(row, set()).add(token)
    return [min(tokens) for row, tokens in own_rows.items() if row in taken and not (tokens & taken[row])]


def _advised(known: Mapping[str, Vocabulary | None]) -> str | None:
    """`"union"` if one vocabulary contains all others and loses nothing so; `None` if `"base"` may not work."""
    base = known[""]
    if base is None:
        return "base" if all(vocabulary is None for vocabulary in known.values()) else None
    readable = [vocabulary for vocabulary in known.values() if vocabulary is not None]
    largest = max(readable, key=lambda vocabulary: len(vocabulary.rows))
    everyone = len(readable) == len(known) and all(largest.contains(vocabulary) for vocabulary in readable)
    return "union" if everyone and len(largest.rows) > len(base.rows) else "base"


def _vocabulary(params: Params) -> Vocabulary | None:
    """What can be read; a broken tokenizer is no obstacle to a merge that does not need it."""
    try:
        return read_vocabulary(getattr(params, "side_files", ()))
    except CheckpointError:
        return None
