"""The pre-flight check: do these finetunes belong to this base?

Nothing is repaired silently. Every problem is found before the first block is merged, and all are reported
at once, with what to do about each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from statistics import median
from typing import Literal

from paretomerge.checkpoints.findings import Alignment, Finding, TaskStatistics
from paretomerge.checkpoints.preflight.structure import Names, compare_structure, shared_names, undo_renaming
from paretomerge.checkpoints.preflight.task_vectors import Sums, count_comparable, sample_names, sum_task_vectors
from paretomerge.checkpoints.preflight.unmergeable import find_buffers, find_quantised
from paretomerge.checkpoints.preflight.vocabulary_check import compare_vocabularies
from paretomerge.checkpoints.repairs.apply import Repaired
from paretomerge.checkpoints.ties import are_equal, base_ties
from paretomerge.errors import AlignmentError
from paretomerge.types import Params

CheckValues = bool | Literal["sample"]

LEAST_COSINE = 0.5
"""Two independent tensors of `n` elements have a cosine of 0 ± 1/√n; a finetuned one is usually above 0.99."""

LEAST_ELEMENTS = 256  # of a tensor whose cosine is judged: 0.5 is then eight standard deviations from independence

OUTLIER = 10.0
"""Times the median distance of the others. Distances grow with the learning rate and the square root of the steps:
finetunes made with one recipe are within a factor of about three of each other."""


def align(
    base: Params,
    finetunes: Mapping[str, Params],
    *,
    kept: Collection[str] = (),
    max_distance: float = 1.0,
    check_values: CheckValues = True,
    drops_at_random: bool = False,
) -> Alignment:
    """Compare finetunes with their base.

    Errors are: missing or extra floating-point tensors, other shapes or vocabularies, names that differ by a prefix,
    ties in one model only, quantised tensors, NaN or infinite values, and a finetune that is too far from the base to
    come from it. Warnings are: other dtypes, running statistics, counters and masks that differ, a tensor that was
    initialised anew, a finetune much farther than the others, equal to the base or to another.
    Models whose names differ by a prefix are compared as if they were renamed, so that everything else is seen too.

    Args:
        base: the parameters `θ_0` that every finetune started from.
        finetunes: task name to parameters `θ_t`.
        kept: names of the base that are not merged (`Repaired.kept`); a finetune may lack them.
        max_distance: largest allowed `‖θ_t − θ_0‖ / ‖θ_0‖` over tensors with at least two dimensions.
            Finetunes are usually below 0.1. Two unrelated models of equal norm are at √2: random directions
            in many dimensions are nearly orthogonal.
        check_values: read all values, one block of each model at a time; `"sample"` reads some tensors of each
            model, and distances and cosines are those of the sample; `False` compares only names, shapes and dtypes.
        drops_at_random: whether the rule to be used drops elements at random (DARE), each tensor with draws of its
            own: tied tensors are then untied, which is a warning.

    Returns:
        Findings and statistics; `.raise_if_bad()` turns errors into an `AlignmentError`.

    Raises:
        AlignmentError: no finetunes, or a `max_distance` that is not positive.

    >>> import torch
    >>> base = {"w": torch.eye(2)}
    >>> align(base, {"task": {"w": torch.eye(2) * 1.5}}).tasks[0].relative_distance
    0.5
    """
    if not finetunes:
        raise AlignmentError("no finetunes: give at least one task with its parameters")
    if not max_distance > 0:
        raise AlignmentError(f"max_distance is {max_distance}: it must be positive")
    kept = frozenset(kept)
    ties = base_ties(base) if check_values else {}
    read = bool(check_values)
    findings, seen = _structure(base, finetunes, kept, ties if read else None)
    findings += compare_vocabularies(base, seen, kept)
    findings += find_buffers(base, seen, kept, read)
    findings += find_quantised(base, seen, kept)
    names = [name for name in base if name not in kept]
    sums = count_comparable(base, seen, names)
    chosen = sample_names(base, names) if check_values == "sample" else names
    if read:
        sum_task_vectors(sums, base, seen, chosen)
    statistics = sums.statistics(read)
    findings += _nothing_in_common(statistics)
    if not read:
        return Alignment(tuple(dict.fromkeys(findings)), statistics)
    findings += sums.findings
    findings += _too_far(statistics, max_distance)
    findings += _made_anew(sums, statistics, max_distance)
    findings += _outliers(statistics)
    findings += _duplicates(sums, len(chosen) < len(names))
    tied = tuple((first, second) for second, first in ties.items() if {first, second} <= set(names))
    tied = tuple(pair for pair in tied if all(are_equal(tune, *pair) for tune in seen.values()))
    findings += _drops(tied) if drops_at_random else []
    return Alignment(tuple(dict.fromkeys(findings)), statistics, sums.cosines(), tied)


def align_repaired(
    repaired: Repaired, *, max_distance: float = 1.0, check_values: CheckValues = True, drops_at_random: bool = False
) -> Alignment:
    """`align` of what `apply_repairs` answers, with its notes among the findings."""
    found = align(
        repaired.base,
        repaired.finetunes,
        kept=repaired.kept,
        max_distance=max_distance,
        check_values=check_values,
        drops_at_random=drops_at_random,
    )
    return replace(found, findings=(*repaired.notes, *found.findings))


def _structure(
    base: Params, finetunes: Mapping[str, Params], kept: Collection[str], ties: Mapping[str, str] | None
) -> tuple[list[Finding], dict[str, Params]]:
    """Findings about names and shapes, and the finetunes under the base's names."""
    undone = {task: undo_renaming(task, base, tune, kept) for task, tune in finetunes.items()}
    seen = {task: tune for task, (tune, _) in undone.items()}
    shared = shared_names(base, seen, kept, ties or {})
    findings: list[Finding] = []
    for task, (tune, renamed) in undone.items():
        findings += [renamed] if renamed is not None else []
        findings += compare_structure(Names(task, base, tune, kept, shared, ties, renamed is not None))
    return findings, seen


def _nothing_in_common(statistics: tuple[TaskStatistics, ...]) -> list[Finding]:
    message = "has no floating-point tensor in common with the base: it is another model, or not a state dict of one"
    return [Finding("error", "empty", row.task, None, message) for row in statistics if not row.tensors]


def _too_far(statistics: tuple[TaskStatistics, ...], max_distance: float) -> list[Finding]:
    found = []
    for row in statistics:
        if row.relative_distance is not None and row.relative_distance >= max_distance:
            cause = "probably it was not finetuned from this base"
            if row.cosine is not None and row.cosine > LEAST_COSINE:
                cause = "the directions agree, so it is perhaps the same model on another scale, or trained very long"
            message = (
                f"is at relative distance {row.relative_distance:.3g} from the base, the limit is {max_distance:.3g}, "
                f"with cosine {row.cosine or 0:.3g} between the two: {cause}. Finetunes usually move by less than 0.1 "
                "of the norm of the base, at a cosine above 0.99; two unrelated models of equal norm are at 1.41 (√2) "
                "and cosine 0. Give the base it started from; if it really went that far, allow it with a larger "
                "max_distance (--max-distance)"
            )
            found.append(Finding("error", "unrelated", row.task, None, message))
    return found


def _made_anew(sums: Sums, statistics: tuple[TaskStatistics, ...], max_distance: float) -> list[Finding]:
    """Single tensors that have nothing to do with the base's, in a finetune that otherwise has."""
    found = []
    for t, row in enumerate(statistics):
        if row.relative_distance is None or row.relative_distance >= max_distance:
            continue
        names = []
        for block in sums.blocks:
            distance = block.distance(t) if block.is_matrix and t in block.tasks else None
            if distance and block.elements >= LEAST_ELEMENTS and distance.cosine < LEAST_COSINE:
                names.append((block.name, distance))
        if names:
            name, distance = max(names, key=lambda pair: pair[1].relative_distance)
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = (
                f"{name!r}{others} at relative distance {distance.relative_distance:.3g} and cosine "
                f"{distance.cosine:.2g} from the base's, the whole model at {row.relative_distance:.3g}: initialised "
                "anew (the head of another task), or trained until nothing of the base is left. Keep each task's own "
                f"with --private {name!r}, or the base's with --skip {name!r}"
            )
            found.append(Finding("warning", "unrelated", row.task, name, message, tuple(name for name, _ in names)))
    return found


def _outliers(statistics: tuple[TaskStatistics, ...]) -> list[Finding]:
    """Finetunes much farther than the others; with two nobody can say which of them is odd."""
    distances = {row.task: row.relative_distance for row in statistics if row.relative_distance}
    found = []
    for task, distance in distances.items() if len(distances) > 2 else ():
        usual = median(other for name, other in distances.items() if name != task)
        if distance > OUTLIER * usual:
            message = (
                f"is at relative distance {distance:.3g} from the base, {distance / usual:.0f} times the median of the "
                f"others ({usual:.3g}): its task vector outweighs theirs in a merge. Another learning rate, or another "
                "base? Give it a smaller weight, or check where it is from"
            )
            found.append(Finding("warning", "outlier", task, None, message))
    return found


def _duplicates(sums: Sums, sampled: bool) -> list[Finding]:
    found = []
    extent = f" in the {len(sums.blocks)} tensors that were read" if sampled else ""
    for t, task in enumerate(sums.tasks):
        if sums.tensors[task] and sums.same_as_base[t]:
            message = (
                f"is equal to the base{extent}, its task vector is zero: probably the wrong folder, or an untrained "
                "model"
            )
            found.append(Finding("warning", "identical", task, None, message))
    for (i, j), same in sums.same_pair.items():
        if same and not (sums.same_as_base[i] or sums.same_as_base[j]):
            message = (
                f"is equal to the finetune of {sums.tasks[i]!r}{extent}: one of the two is probably the wrong folder"
            )
            found.append(Finding("warning", "identical", sums.tasks[j], None, message))
    return found


def _drops(ties: tuple[tuple[str, str], ...]) -> list[Finding]:
    return [
        Finding(
            "warning",
            "tied",
            None,
            second,
            f"{first!r} and {second!r} are tied (equal values in every model), but a rule that drops elements at "
            f"random draws for each: they differ after the merge, and a loader that ties them drops one. Leave the "
            f"second out with --skip {second!r}",
        )
        for first, second in ties
    ]
