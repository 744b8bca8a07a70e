"""Comparing names, shapes and dtypes of a finetune with its base; no values are read, except to see ties."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import torch

from paretomerge.checkpoints.findings import Finding, Kind, Severity
from paretomerge.types import Params, TensorSpec, spec_of

MOST_TIES_READ = 8  # tensors compared by value to explain one absent name

_HEAD = re.compile(r"(^|\.)(lm_head|decoder|embed_out|output_projection)\.weight$")


def compare_structure(task: str, base: Params, finetune: Params, read_values: bool) -> list[Finding]:
    """Missing, extra, renamed and tied names; shapes and dtypes that differ."""
    missing = [name for name in base if name not in finetune]
    extra = [name for name in finetune if name not in base]
    findings: list[Finding] = []
    renaming = _renaming(missing, extra, base, finetune)
    if renaming is not None:
        finding, here, there = renaming
        findings.append(_finding("error", "renamed", task, None, finding))
        missing = [name for name in missing if name not in here]
        extra = [name for name in extra if name not in there]
    findings += (_missing(task, name, base, finetune, read_values) for name in missing)
    findings += (_extra(task, name, finetune, base, read_values) for name in extra)
    for name in base:
        if name in finetune:
            findings += _differences(task, name, spec_of(base, name), spec_of(finetune, name))
            if read_values and _HEAD.search(name):
                findings += _untied(task, name, base, finetune)
    return findings


def comparable(name: str, base: Params, finetune: Params) -> bool:
    """Whether the values of `name` can be subtracted: floating point and one shape."""
    if name not in finetune:
        return False
    one, other = spec_of(base, name), spec_of(finetune, name)
    return one.is_mergeable and other.is_mergeable and one.shape == other.shape


def _missing(task: str, name: str, base: Params, finetune: Params, read_values: bool) -> Finding:
    if not spec_of(base, name).is_mergeable:
        return _finding("warning", "missing", task, name, f"lacks {name!r}, a counter or mask: the base's is kept")
    twin = _twin(name, base, finetune) if read_values else None
    if twin is not None:
        return _finding(
            "error",
            "tied",
            task,
            name,
            f"lacks {name!r}, which in the base is tied to {twin!r} (equal values): the finetune was saved with tied "
            f"weights, the base without. Save both the same way, for example leave {name!r} out of the base",
        )
    return _finding(
        "error",
        "missing",
        task,
        name,
        f"lacks {name!r} {list(spec_of(base, name).shape)}: it is incomplete, or of another architecture",
    )


def _extra(task: str, name: str, finetune: Params, base: Params, read_values: bool) -> Finding:
    if not spec_of(finetune, name).is_mergeable:
        return _finding("warning", "extra", task, name, f"has {name!r}, a counter or mask that the base lacks: dropped")
    twin = _twin(name, finetune, base) if read_values else None
    if twin is not None:
        return _finding(
            "warning",
            "tied",
            task,
            name,
            f"has {name!r} beside {twin!r}, to which it is tied (equal values); the base has only {twin!r}: dropped",
        )
    return _finding(
        "error",
        "extra",
        task,
        name,
        f"has {name!r} {list(spec_of(finetune, name).shape)}, which the base lacks: a head or adapter of this task "
        "alone cannot be merged; add it to the base, or leave it out",
    )


def _untied(task: str, name: str, base: Params, finetune: Params) -> Iterator[Finding]:
    twin = _twin(name, base, finetune)
    if twin is not None and not torch.equal(finetune[name], finetune[twin]):
        yield _finding(
            "warning",
            "tied",
            task,
            name,
            f"{name!r} and {twin!r} are tied in the base (equal values) but differ here: a loader that ties them again "
            "drops one of them; set tie_word_embeddings to false in the configuration of the merged model",
        )


def _differences(task: str, name: str, base: TensorSpec, finetune: TensorSpec) -> Iterator[Finding]:
    floating = base.is_mergeable
    if base.shape != finetune.shape:
        hint = "another architecture, or a transposed tensor"
        if base.shape[1:] == finetune.shape[1:] and base.shape and finetune.shape:
            hint = "a resized vocabulary, or another number of classes"
        yield _finding(
            "error" if floating else "warning",
            "shape",
            task,
            name,
            f"{name!r} has shape {list(finetune.shape)}, in the base {list(base.shape)}: {hint}"
            + ("" if floating else "; the base's is kept"),
        )
    if floating != finetune.is_mergeable:
        yield _finding(
            "error",
            "dtype",
            task,
            name,
            f"{name!r} is {finetune.dtype}, in the base {base.dtype}: one of them is quantised; "
            "merge models in floating point",
        )
    elif base.dtype != finetune.dtype:
        yield _finding(
            "warning",
            "dtype",
            task,
            name,
            f"{name!r} is {finetune.dtype}, in the base {base.dtype}: the result is written in the base's dtype",
        )


def _twin(name: str, holder: Params, other: Params) -> str | None:
    """The name in both models whose tensor in `holder` equals that of `name`, if there is one."""
    spec = spec_of(holder, name)
    if len(spec.shape) < 2 or not spec.numel:
        return None
    same = [twin for twin in holder if twin != name and twin in other and spec_of(holder, twin) == spec]
    if not same or len(same) > MOST_TIES_READ:
        return None
    values = holder[name]
    return next((twin for twin in same if torch.equal(values, holder[twin])), None)


def _renaming(
    missing: list[str], extra: list[str], base: Params, finetune: Params
) -> tuple[str, set[str], set[str]] | None:
    """If one prefix explains most differing names: the message, and the names it explains on both sides."""
    if not missing or not extra:
        return None
    added = _best_prefix(missing, extra)
    removed = _best_prefix(extra, missing)
    if added is None and removed is None:
        return None
    if added is not None:
        here = {name for name in missing if added + name in finetune}
        there = {added + name for name in here}
        advice = f"remove the prefix {added!r} from its names"
    else:
        prefix = removed or ""
        there = {name for name in extra if prefix + name in base}
        here = {prefix + name for name in there}
        advice = f"add the prefix {removed!r} to its names"
    message = (
        f"names differ by a prefix: {len(here)} of {len(base)} tensors are found after renaming, for example "
        f"{min(there)!r} for {min(here)!r}. It was saved from another class of the same model: {advice}"
    )
    return message, here, there


def _best_prefix(short: list[str], long: Iterable[str]) -> str | None:
    """The prefix that turns most names of `short` into names of `long`; `None` if fewer than half."""
    known = set(short)
    found: Counter[str] = Counter()
    for name in long:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in known:
                found[".".join(parts[:cut]) + "."] += 1
                break
    if not found:
        return None
    prefix, count = found.most_common(1)[0]
    return prefix if 2 * count >= len(short) else None


def _finding(severity: Severity, kind: Kind, task: str, tensor: str | None, message: str) -> Finding:
    return Finding(severity, kind, task, tensor, message)
