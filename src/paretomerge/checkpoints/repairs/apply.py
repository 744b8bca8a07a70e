"""What a user asks to be repaired before a merge, and doing it without copying a checkpoint.

`apply_repairs` answers with checkpoints that read lazily: a renamed tensor, a row of an embedding or a head that is
left out costs nothing until it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.findings import Finding
from paretomerge.checkpoints.patterns import matches_any, require_matches
from paretomerge.checkpoints.repairs.renaming import EVERY_TASK, Rename, rename_all
from paretomerge.checkpoints.repairs.tokenizers import TokenizerChoice, unify_vocabularies
from paretomerge.checkpoints.ties import find_twins
from paretomerge.checkpoints.views import select, view
from paretomerge.errors import InputError


@dataclass(frozen=True)
class Repairs:
    """Repairs of a merge, in the order in which they are made.

    Args:
        rename: rules that change the prefix of names, for one task or for all; see `Rename`.
        skip: glob patterns of tensors that are not merged: the merged model has the base's, and a finetune may lack
            them or have others. They match the names after renaming.
        private: glob patterns of tensors that belong to each task alone, such as its head: left out of the merge and
            kept per task. Where the base has such a tensor too, the merged model keeps it, so that it can be loaded.
            Goes before `skip`.
        tokenizer: `None`, vocabularies must agree; `"base"`, the embeddings of the finetunes are cut or permuted to
            the base's vocabulary; `"union"`, the merged model has all tokens, if one model knows them all.

    Raises:
        InputError: an empty pattern, or an unknown choice of the tokenizer.
    """

    rename: tuple[Rename, ...] = ()
    skip: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    tokenizer: TokenizerChoice | None = None

    def __post_init__(self) -> None:
        """Check the patterns and the choice."""
        for option, patterns in (("--skip", self.skip), ("--private", self.private)):
            if isinstance(patterns, str) or not all(isinstance(pattern, str) and pattern for pattern in patterns):
                raise InputError(f"{option} {patterns!r}: give names or patterns such as 'classifier.*'")
        if self.tokenizer not in (None, "base", "union"):
            raise InputError(f"--tokenizer {self.tokenizer!r}: one of base, union")

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as arguments of the command line."""
        pairs = [
            *(("--rename", str(rule)) for rule in self.rename),
            *(("--skip", pattern) for pattern in self.skip),
            *(("--private", pattern) for pattern in self.private),
            *((("--tokenizer", self.tokenizer),) if self.tokenizer else ()),
        ]
        return tuple(text for pair in pairs for text in pair)


@dataclass(frozen=True, eq=False)
class Repaired:
    """A base and finetunes after the repairs, still unread.

    Args:
        base: the tensors that the merged model will have.
        finetunes: task → its tensors under the base's names, without those that are skipped or private.
        private: task → its own tensors, for the tasks that have any.
        kept: names of the base that are copied and not merged, because they are skipped or private.
        side_files: the small files of the merged model, without those of `texts`.
        texts: file name → text, files that had to be changed, such as `config.json` for another vocabulary.
        notes: what was assumed, as warnings.
    """

    base: Checkpoint
    finetunes: Mapping[str, Checkpoint]
    private: Mapping[str, Checkpoint] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    side_files: tuple[Path, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()

    def trunks(self) -> dict[str, Checkpoint]:
        """Task → the tensors to merge, and nothing else: floating point, in the base and not kept, in its order."""
        names = [name for name in self.base if name not in self.kept and self.base.spec(name).is_mergeable]
        return {task: select(tune, [name for name in names if name in tune]) for task, tune in self.finetunes.items()}


def apply_repairs(base: Checkpoint, finetunes: Mapping[str, Checkpoint], repairs: Repairs = Repairs()) -> Repaired:
    """Make the repairs: rename, tie, set private tensors aside, skip, and make the vocabularies one.

    A finetune that was saved without the second name of a tied parameter, while the base has both names with equal
    values, reads it under the first; that is noted.

    Args:
        base: the base.
        finetunes: task → finetune.
        repairs: what is asked for.

    Raises:
        AlignmentError: a rule or pattern that matches nothing, names that collide, or vocabularies that cannot be
            made one.
        InputError: a rule for a task that is not there.

    >>> import torch
    >>> from paretomerge.checkpoints import open_checkpoint
    >>> base, tune = {"net.w": torch.zeros(2)}, {"w": torch.ones(2), "head": torch.ones(3)}
    >>> wanted = Repairs(rename=(Rename("a", "w", "net.w"),), private=("head",))
    >>> repaired = apply_repairs(open_checkpoint(base), {"a": open_checkpoint(tune)}, wanted)
    >>> list(repaired.finetunes["a"]), list(repaired.private["a"])
    (['net.w'], ['head'])
    """
    _require_tasks(repairs.rename, finetunes)
    renamed = {task: _renamed(task, tune, repairs.rename) for task, tune in finetunes.items()}
    everything = set(base).union(*renamed.values())
    require_matches("--skip", repairs.skip, everything, "the base or a finetune")
    own = set().union(*renamed.values())
    require_matches("--private", repairs.private, own, "a finetune")
    private_names = {name for name in everything if matches_any(name, repairs.private)}
    aside = private_names | {name for name in everything if matches_any(name, repairs.skip)}
    notes: list[Finding] = []
    trunks = {
        task: _tied(task, base, select(tune, [name for name in tune if name not in aside]), aside, notes)
        for task, tune in renamed.items()
    }
    private = {
        task: select(tune, [name for name in tune if name in private_names])
        for task, tune in renamed.items()
        if any(name in private_names for name in tune)
    }
    kept = frozenset(name for name in base if name in aside)
    if repairs.tokenizer is None:
        return Repaired(base, trunks, private, kept, base.side_files, {}, tuple(notes))
    one = unify_vocabularies(base, trunks, repairs.tokenizer)
    notes += one.notes
    return Repaired(one.base, one.finetunes, private, kept, one.side_files, one.texts, tuple(notes))


def _require_tasks(rules: Iterable[Rename], finetunes: Mapping[str, Checkpoint]) -> None:
    for rule in rules:
        if rule.task != EVERY_TASK and rule.task not in finetunes:
            raise InputError(
                f"--rename {rule}: there is no task {rule.task!r}; the tasks are {', '.join(finetunes)}, or "
                f"{EVERY_TASK} for all"
            )


def _renamed(task: str, tune: Checkpoint, rules: Iterable[Rename]) -> Checkpoint:
    own = [rule for rule in rules if rule.applies_to(task)]
    return view(tune, rename_all(tune, own, task)) if own else tune


def _tied(task: str, base: Checkpoint, tune: Checkpoint, aside: set[str], notes: list[Finding]) -> Checkpoint:
    """`tune`, with the names it lacks of parameters that are tied in the base."""
    lacking = [name for name in base if name not in tune and name not in aside and base.spec(name).is_mergeable]
    twins = find_twins(lacking, base, tune)
    for name, twin in twins.items():
        message = (
            f"lacks {name!r}, which in the base is tied to {twin!r} (equal values): it was saved with tied weights, "
            f"its {twin!r} is taken for both"
        )
        notes.append(Finding("warning", "tied", task, name, message))
    return view(tune, {name: name for name in tune} | twins) if twins else tune
