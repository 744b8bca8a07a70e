"""Names that differ by a prefix: rules that rename tensors, and finding the rules that make two models agree.

A model saved from another class of the same architecture has the same tensors under other prefixes
(`encoder.layer.0…` and `bert.encoder.layer.0…`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from paretomerge.errors import AlignmentError, InputError

EVERY_TASK = "*"
MOST_PREFIXES = 6  # different pairs of prefixes between two models; more is another architecture


@dataclass(frozen=True)
class Rename:
    """Names of `task` (`"*"` for every task) that start with `old` start with `new` instead.

    >>> str(Rename("reviews", "", "bert.")), Rename.parse("reviews=model.:").old
    ('reviews=:bert.', 'model.')
    """

    task: str
    old: str
    new: str

    @classmethod
    def parse(cls, text: str) -> Rename:
        """Read `TASK=OLD:NEW`.

        Raises:
            InputError: another form, or a rule that changes nothing.
        """
        task, sign, prefixes = text.partition("=")
        old, colon, new = prefixes.partition(":")
        if not (sign and task and colon) or ":" in new:
            raise InputError(
                f"--rename {text!r}: write it as TASK=OLD:NEW, for example reviews=:bert. to add the prefix 'bert.', "
                f"reviews=model.: to remove 'model.', and {EVERY_TASK}=OLD:NEW for every task"
            )
        if old == new:
            raise InputError(f"--rename {text!r}: changes nothing, the two prefixes are equal")
        return cls(task, old, new)

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"{self.task}={self.old}:{self.new}"

    def applies_to(self, task: str) -> bool:
        """Whether it is a rule for this task."""
        return self.task in (task, EVERY_TASK)


def rename_all(names: Iterable[str], rules: Sequence[Rename], whose: str) -> dict[str, str]:
    """New name → old name; the rules are applied one after the other, each to the names that the last one left.

    Raises:
        AlignmentError: a rule that matches no name, or makes two names equal.
    """
    current = {name: name for name in names}
    for rule in rules:
        if not any(name.startswith(rule.old) for name in current):
            raise AlignmentError(
                f"--rename {rule}: no tensor of {whose!r} has a name that starts with {rule.old!r}; the first is "
                f"{next(iter(current), None)!r}"
            )
        renamed: dict[str, str] = {}
        for name, origin in current.items():
            changed = rule.new + name[len(rule.old) :] if name.startswith(rule.old) else name
            if changed in renamed:
                raise AlignmentError(
                    f"--rename {rule}: makes two tensors of {whose!r} have the name {changed!r} "
                    f"({renamed[changed]!r} and {origin!r}): give a longer prefix"
                )
            renamed[changed] = origin
        current = renamed
    return current


def find_rules(task: str, missing: Sequence[str], extra: Sequence[str], names: Collection[str]) -> tuple[Rename, ...]:
    """The rules that turn names of `extra` into names of `missing`, if a few prefixes explain most of them.

    Args:
        task: whose names they are.
        missing: names of the base that the finetune lacks.
        extra: names of the finetune that the base lacks.
        names: all names of the finetune: no rule changes one that fits already.

    Returns:
        Rules for `rename_all`; empty if less than half of the shorter list is explained.
    """
    pairs: dict[str, str] = {}
    left, right = set(missing), set(extra)
    for _ in range(MOST_PREFIXES):
        found = _most_common_prefixes(left, right)
        if not found:
            break
        pairs |= found
        left -= set(found.values())
        right -= set(found)
    if not pairs or 2 * len(pairs) < min(len(missing), len(extra)):
        return ()
    return tuple(Rename(task, old, new) for old, new in _rules(pairs, names))


def _most_common_prefixes(missing: set[str], extra: set[str]) -> dict[str, str]:
    """The names of `extra` → `missing` that one pair of prefixes explains."""
    by_ending: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(extra):
        for ending in _endings(name):
            by_ending[ending].append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for name in sorted(missing):
        for ending in _endings(name):
            # "dense.weight" ends many names: a short ending counts if it is one of the two names as a whole
            long = ending.count(".") >= 2
            known = [other for other in by_ending.get(ending, ()) if long or ending in (name, other)]
            if known:
                other = min(known, key=len)
                votes[other.removesuffix(ending), name.removesuffix(ending)] += 1
                break
    if not votes:
        return {}
    old, new = max(votes, key=lambda prefixes: (votes[prefixes], prefixes))
    renamed = {name: new + name[len(old) :] for name in sorted(extra) if name.startswith(old)}
    return {name: other for name, other in renamed.items() if other in missing}


def _endings(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[cut:]) for cut in range(len(parts)))


def _rules(pairs: dict[str, str], names: Collection[str]) -> list[tuple[str, str]]:
    """The shortest prefixes that rename `pairs` and leave every other name alone."""
    rules: list[tuple[str, str]] = []
    for name, wanted in pairs.items():
        if any(name.startswith(old) and new + name[len(old) :] == wanted for old, new in rules):
            continue
        ending = _common_ending(name, wanted)
        old, new = name.removesuffix(ending), wanted.removesuffix(ending)
        while not _is_safe(old, new, pairs, names) and ending:
            part, dot, ending = ending.partition(".")
            old, new = old + part + dot, new + part + dot
        rules.append((old, new))
    return rules


def _is_safe(old: str, new: str, pairs: dict[str, str], names: Collection[str]) -> bool:
    """Whether the rule renames only names of `pairs`, each as wanted."""
    return all(pairs.get(name) == new + name[len(old) :] for name in names if name.startswith(old))


def _common_ending(name: str, wanted: str) -> str:
    first, second = list(_endings(name)), set(_endings(wanted))
    return next((ending for ending in first if ending in second), "")
