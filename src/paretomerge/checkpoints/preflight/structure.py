"""Comparing names, shapes and dtypes of a finetune with its base; no values are read, except to see ties."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from paretomerge.checkpoints.findings import Finding
from paretomerge.checkpoints.patterns import group_by_pattern
from paretomerge.checkpoints.repairs.renaming import find_rules, rename_all
from paretomerge.checkpoints.repairs.vocabulary import embedding_rows, has_token_rows
from paretomerge.checkpoints.ties import are_equal, find_twins
from paretomerge.checkpoints.views import view
from paretomerge.types import Params, TensorSpec, spec_of

LEAST_IN_COMMON = 0.5
"""Share of the base's parameters a finetune must have before an option is advised for the rest: with less in common it
is another model, and leaving out what differs would hide that."""

_TABLE = re.compile(r"embed|position", re.IGNORECASE)  # rows are positions or types, not classes


@dataclass(frozen=True, eq=False)
class Names:
    """A finetune beside its base.

    Args:
        task: the finetune.
        base: the base's parameters.
        finetune: its parameters, under the base's names.
        kept: names of the base that are not merged.
        shared: names that every model has in one shape (`shared_names`).
        ties: second name → first name of what is tied in the base; `None` if no values may be read.
        was_renamed: whether its own names differ from these.
    """

    task: str
    base: Params
    finetune: Params
    kept: Collection[str]
    shared: Collection[str]
    ties: Mapping[str, str] | None = None
    was_renamed: bool = False

    @property
    def read_values(self) -> bool:
        """Whether values may be read."""
        return self.ties is not None

    @property
    def missing(self) -> list[str]:
        """Names of the base that the finetune lacks."""
        return [name for name in self.base if name not in self.finetune and name not in self.kept]

    @property
    def extra(self) -> list[str]:
        """Names of the finetune that the base lacks."""
        return [name for name in self.finetune if name not in self.base]

    @cached_property
    def in_common(self) -> float:
        """Share of the base's parameters that the finetune has too, among those to be merged."""
        sizes = {
            name: spec.numel
            for name in self.base
            if name not in self.kept and (spec := spec_of(self.base, name)).is_mergeable
        }
        return sum(size for name, size in sizes.items() if name in self.finetune) / max(sum(sizes.values()), 1)


def undo_renaming(task: str, base: Params, finetune: Params, kept: Collection[str]) -> tuple[Params, Finding | None]:
    """The finetune under the base's names, and what to report if its own differ by prefixes."""
    missing = [name for name in base if name not in finetune and name not in kept]
    extra = [name for name in finetune if name not in base]
    rules = find_rules(task, missing, extra, list(finetune)) if missing and extra else ()
    if not rules:
        return finetune, None
    names = rename_all(finetune, rules, task)
    found = [name for name, old in names.items() if name in base and old not in base]
    options = " ".join(f"--rename {rule}" for rule in rules)
    message = (
        f"names differ by a prefix: {len(found)} of {len(base)} tensors are found after renaming, for example "
        f"{names[found[0]]!r} for {found[0]!r}. It was saved from another class of the same model: {options}"
    )
    repair = tuple(text for rule in rules for text in ("--rename", str(rule)))
    return view(finetune, names), Finding("error", "renamed", task, None, message, tuple(found), repair)


def compare_structure(names: Names) -> list[Finding]:
    """Missing, extra and tied names; shapes and dtypes that differ. Vocabularies are compared elsewhere."""
    findings = [*_missing(names), *_extra(names), *_shapes(names), *_dtypes(names)]
    if names.read_values:
        findings += _untied(names)
    return findings


def comparable(name: str, base: Params, finetune: Params) -> bool:
    """Whether the values of `name` can be subtracted: floating point and one shape."""
    if name not in finetune:
        return False
    one, other = spec_of(base, name), spec_of(finetune, name)
    return one.is_mergeable and other.is_mergeable and one.shape == other.shape


def _missing(names: Names) -> Iterator[Finding]:
    task, lacking = names.task, []
    twins = find_twins(names.missing, names.base, names.finetune) if names.read_values else {}
    for name in names.missing:
        twin = twins.get(name)
        if not spec_of(names.base, name).is_mergeable:
            message = f"lacks {name!r}, a counter or mask: the base's is kept"
            yield Finding("warning", "missing", task, name, message)
        elif twin is not None:
            message = (
                f"lacks {name!r}, which in the base is tied to {twin!r} (equal values): the finetune was saved with "
                f"tied weights, the base without; its {twin!r} stands for both (apply_repairs reads it so)"
            )
            yield Finding("warning" if names.was_renamed else "error", "tied", task, name, message)
        else:
            lacking.append(name)
    for pattern, group in group_by_pattern(lacking, names.shared).items():
        seen = f"lacks {_described(group, pattern, names.base)}"
        if names.in_common < LEAST_IN_COMMON:
            message = f"{seen}: it is incomplete, or of another architecture"
            yield Finding("error", "missing", task, group[0], message, tuple(group))
        else:
            message = f"{seen}: a head it was saved without, or it is incomplete; --skip {pattern!r} keeps the base's"
            yield Finding("error", "missing", task, group[0], message, tuple(group), ("--skip", pattern))


def _extra(names: Names) -> Iterator[Finding]:
    task, own = names.task, []
    twins = find_twins(names.extra, names.finetune, names.base) if names.read_values else {}
    for name in names.extra:
        twin = twins.get(name)
        if not spec_of(names.finetune, name).is_mergeable:
            message = f"has {name!r}, a counter or mask that the base lacks: dropped"
            yield Finding("warning", "extra", task, name, message)
        elif twin is not None:
            message = (
                f"has {name!r} beside {twin!r}, to which it is tied (equal values); the base has only {twin!r}: dropped"
            )
            yield Finding("warning", "tied", task, name, message)
        else:
            own.append(name)
    for pattern, group in group_by_pattern(own, names.shared).items():
        message = (
            f"has {_described(group, pattern, names.finetune)}, which the base lacks: a head of this task alone cannot "
            f"be merged; --private {pattern!r} keeps it for this task, --skip {pattern!r} drops it"
        )
        repair = ("--private", pattern) if names.in_common >= LEAST_IN_COMMON else ()
        yield Finding("error", "extra", task, group[0], message, tuple(group), repair)


def _shapes(names: Names) -> Iterator[Finding]:
    task, rows = names.task, (embedding_rows(names.base), embedding_rows(names.finetune))
    classes = []
    for name in _both(names):
        base, finetune = spec_of(names.base, name), spec_of(names.finetune, name)
        if base.shape == finetune.shape:
            continue
        if has_token_rows(name, base, rows[0]) and has_token_rows(name, finetune, rows[1]):
            continue  # another vocabulary
        seen = f"{name!r} has shape {list(finetune.shape)}, in the base {list(base.shape)}"
        if not base.is_mergeable:
            yield Finding("warning", "shape", task, name, f"{seen}: the base's is kept")
        elif base.shape[1:] == finetune.shape[1:] and base.shape and finetune.shape and not _TABLE.search(name):
            classes.append(name)
        else:
            cause = (
                "a table of another length" if _TABLE.search(name) else "another architecture, or a transposed tensor"
            )
            message = f"{seen}: {cause}; --skip {name!r} keeps the base's"
            yield Finding("error", "shape", task, name, message)
    for pattern, group in group_by_pattern(classes, names.shared).items():
        shapes = [list(spec_of(params, group[0]).shape) for params in (names.finetune, names.base)]
        others = f" and {len(group) - 1} more of {pattern!r}" if len(group) > 1 else ""
        message = (
            f"{group[0]!r} has shape {shapes[0]}, in the base {shapes[1]}{others}: another number of classes. "
            f"--private {pattern!r} keeps each task's own, --skip {pattern!r} the base's"
        )
        yield Finding("error", "shape", task, group[0], message, tuple(group), ("--private", pattern))


def _dtypes(names: Names) -> Iterator[Finding]:
    changed: dict[tuple[object, object], list[str]] = {}
    for name in _both(names):
        base, finetune = spec_of(names.base, name), spec_of(names.finetune, name)
        if base.is_mergeable != finetune.is_mergeable:
            message = (
                f"{name!r} is {finetune.dtype}, in the base {base.dtype}: one of them is quantised; "
                "merge models in floating point"
            )
            yield Finding("error", "dtype", names.task, name, message)
        elif base.dtype != finetune.dtype:
            changed.setdefault((finetune.dtype, base.dtype), []).append(name)
    if getattr(names.finetune, "is_adapter", False):
        return  # its tensors are computed, in float32 whatever the model is kept in
    for (dtype, in_base), group in changed.items():
        what = repr(group[0]) + " is" if len(group) == 1 else f"{len(group)} tensors (first {group[0]!r}) are"
        message = f"{what} {dtype}, in the base {in_base}: the result is written in the base's dtype"
        yield Finding("warning", "dtype", names.task, group[0], message, tuple(group))


def _untied(names: Names) -> Iterator[Finding]:
    """Ties of the base that the finetune, or what is left out of the merge, breaks."""
    for second, first in (names.ties or {}).items():
        left_out = [name for name in (first, second) if name in names.kept]
        if len(left_out) == 1:
            other = first if left_out == [second] else second
            message = (
                f"{left_out[0]!r} is kept from the base, where it is tied to {other!r} (equal values), which is "
                "merged: a loader that ties them again takes one of the two for both"
            )
            yield Finding("warning", "tied", None, left_out[0], message)
        elif not left_out and {first, second} <= set(names.finetune) and not are_equal(names.finetune, first, second):
            message = (
                f"{second!r} and {first!r} are tied in the base (equal values) but differ here: a loader that ties "
                "them again drops one of them; set tie_word_embeddings to false in the configuration of the merged "
                "model"
            )
            yield Finding("warning", "tied", names.task, second, message)


def _both(names: Names) -> Iterator[str]:
    return (name for name in names.base if name in names.finetune and name not in names.kept)


def _described(group: Sequence[str], pattern: str, params: Params) -> str:
    first: TensorSpec = spec_of(params, group[0])
    if len(group) == 1:
        return f"{group[0]!r} {list(first.shape)}"
    return f"{len(group)} tensors {pattern!r} (first {group[0]!r} {list(first.shape)})"


def shared_names(
    base: Params, finetunes: Mapping[str, Params], kept: Collection[str], ties: Mapping[str, str]
) -> set[str]:
    """The names that are in every model in one shape: those a merge needs, and no advice may leave out.

    A second name that a finetune has only through its tie is none of them.
    """
    return {
        name
        for name in base
        if name not in kept
        and all(
            name in tune
            and spec_of(tune, name).shape == spec_of(base, name).shape
            and not (name in ties and _is_alias(tune, name, ties[name]))
            for tune in finetunes.values()
        )
    }


def _is_alias(params: Params, name: str, twin: str) -> bool:
    locate = getattr(params, "locate", None)
    if locate is None or twin not in params:
        return False
    (one, inner), (other, second) = locate(name), locate(twin)
    return one is other and inner == second
