"""The pre-flight check: do these finetunes belong to this base?

Nothing is repaired silently. Every problem is found before the first block is merged, and all are reported
at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from paretomerge.checkpoints.findings import Alignment, Finding, TaskStatistics
from paretomerge.checkpoints.structure import compare_structure
from paretomerge.checkpoints.task_vectors import Sums, count_comparable, sum_task_vectors
from paretomerge.errors import AlignmentError
from paretomerge.types import Params


def align(
    base: Params,
    finetunes: Mapping[str, Params],
    *,
    max_distance: float = 1.0,
    check_values: bool = True,
) -> Alignment:
    """Compare finetunes with their base.

    Errors are: missing or extra floating-point tensors, other shapes, names that differ by a prefix, ties in
    one model only, NaN or infinite values, and a finetune that is too far from the base to come from it.
    Warnings are: other dtypes, counters and masks that differ, a finetune equal to the base or to another.

    Args:
        base: the parameters `θ_0` that every finetune started from.
        finetunes: task name to parameters `θ_t`.
        max_distance: largest allowed `‖θ_t − θ_0‖ / ‖θ_0‖` over tensors with at least two dimensions.
            Finetunes are usually below 0.1. Two unrelated models of equal norm are at √2: random directions
            in many dimensions are nearly orthogonal.
        check_values: read all values, one block of each model at a time; without it only names, shapes and
            dtypes are compared.

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
    findings = [
        finding
        for task, finetune in finetunes.items()
        for finding in compare_structure(task, base, finetune, check_values)
    ]
    sums = sum_task_vectors(base, finetunes) if check_values else count_comparable(base, finetunes)
    statistics = sums.statistics(check_values)
    findings += _nothing_in_common(statistics)
    if check_values:
        findings += sums.findings
        findings += _too_far(statistics, max_distance)
        findings += _duplicates(sums)
    return Alignment(tuple(findings), statistics, sums.cosines() if check_values else ())


def _nothing_in_common(statistics: tuple[TaskStatistics, ...]) -> list[Finding]:
    message = "has no floating-point tensor in common with the base: it is another model, or not a state dict of one"
    return [Finding("error", "empty", row.task, None, message) for row in statistics if not row.tensors]


def _too_far(statistics: tuple[TaskStatistics, ...], max_distance: float) -> list[Finding]:
    found = []
    for row in statistics:
        if row.relative_distance is not None and row.relative_distance >= max_distance:
            message = (
                f"is at relative distance {row.relative_distance:.3g} from the base, the limit is {max_distance:.3g}: "
                "probably it was not finetuned from this base. Finetunes usually move by less than 0.1 of the norm of "
                "the base; two unrelated models of equal norm are at 1.41 (√2). Give the base it started from; if it "
                "really went that far, allow it with a larger max_distance"
            )
            found.append(Finding("error", "unrelated", row.task, None, message))
    return found


def _duplicates(sums: Sums) -> list[Finding]:
    found = []
    for t, task in enumerate(sums.tasks):
        if sums.tensors[task] and bool(sums.same_as_base[t]):
            message = "is equal to the base, its task vector is zero: probably the wrong folder, or an untrained model"
            found.append(Finding("warning", "identical", task, None, message))
    for i, j in combinations(range(len(sums.tasks)), 2):
        both_moved = not bool(sums.same_as_base[i] | sums.same_as_base[j])
        if both_moved and bool(sums.same_pair[i, j]):
            message = f"is equal to the finetune of {sums.tasks[i]!r}: one of the two is probably the wrong folder"
            found.append(Finding("warning", "identical", sums.tasks[j], None, message))
    return found
