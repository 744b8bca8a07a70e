"""Merges of the aligned checkpoints, held against plain loops and against mergekit.

Shapes: `K` weightings, `T` tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.suite.methods.base import NotHere
from benchmarks.suite.methods.foreign import differences
from benchmarks.suite.methods.mergekit import RULES, TheirRule, merge_by_mergekit
from benchmarks.suite.methods.tuning import Settings
from paretomerge.merging import MergeRule, collect_inputs, merge_blocks
from paretomerge.types import Params

WEIGHTS = np.array([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]])


@dataclass(frozen=True)
class Compared:
    """A rule, with settings that nobody has chosen: there is nothing to choose them by.

    Args:
        theirs: the rule in both packages.
        settings: fixed beforehand.
        naive: `(base [n], finetunes [T, n], weights [T], settings) → merged [n]`, float64.
    """

    theirs: TheirRule
    settings: Settings
    naive: Callable[[np.ndarray, np.ndarray, np.ndarray, Settings], np.ndarray]

    @property
    def name(self) -> str:
        """As in the suite."""
        return self.theirs.ours.name

    @property
    def rule(self) -> MergeRule:
        """Ours."""
        return self.theirs.ours.make(self.settings, 0)


def naive_average(base: np.ndarray, tunes: np.ndarray, weights: np.ndarray, settings: Settings) -> np.ndarray:
    """`Σ α_t θ_t`."""
    return weights @ tunes


def naive_arithmetic(base: np.ndarray, tunes: np.ndarray, weights: np.ndarray, settings: Settings) -> np.ndarray:
    """`θ_0 + scale Σ α_t δ_t`."""
    return base + settings["scale"] * (weights @ (tunes - base))


def naive_ties(base: np.ndarray, tunes: np.ndarray, weights: np.ndarray, settings: Settings) -> np.ndarray:
    """Trim by sorting, elect, and average those that agree; task vectors in single precision, as both packages have."""
    deltas = (tunes.astype(np.float32) - base.astype(np.float32)).astype(np.float64)
    kept = max(1, int(settings["density"] * base.size))
    for delta in deltas:
        delta[np.argsort(-np.abs(delta), kind="stable")[kept:]] = 0
    votes = weights[:, None] * deltas
    sign = np.where(votes.sum(axis=0) >= 0, 1, -1)
    agrees = np.sign(deltas) == sign
    total = (weights[:, None] * agrees).sum(axis=0)
    return base + settings["scale"] * (votes * agrees).sum(axis=0) / np.where(total == 0, 1, total)


AVERAGING, ARITHMETIC, TIES, _ = RULES
COMPARED = (
    Compared(AVERAGING, {}, naive_average),
    Compared(ARITHMETIC, {"scale": 1.5}, naive_arithmetic),
    Compared(TIES, {"density": 0.2, "scale": 1.0}, naive_ties),
)


def compare_merges(base: Params, finetunes: Mapping[str, Params], folder: Path) -> dict[str, Any]:
    """How far ours are from plain loops, and from mergekit's, over all weightings; or why that cannot be said."""
    found: dict[str, Any] = {}
    for compared in COMPARED:
        against = {"plain loop": differences(naive(compared, base, finetunes), ours(compared, base, finetunes), base)}
        entry: dict[str, Any] = {"settings": dict(compared.settings), "against": against}
        try:
            theirs, version = merge_by_mergekit(
                base, finetunes, compared.theirs, compared.settings, WEIGHTS, folder=folder
            )
            against["mergekit"] = differences(iter(theirs), ours(compared, base, finetunes), base)
            entry["mergekit"] = version
        except NotHere as reason:
            entry["mergekit_skipped"] = str(reason)
        found[compared.name] = entry
    return found


def ours(compared: Compared, base: Params, finetunes: Mapping[str, Params]) -> Iterator[Params]:
    """One model after the other."""
    inputs = collect_inputs(finetunes, base=base)
    for row in WEIGHTS:
        yield {name: tensor[0] for name, tensor in merge_blocks(inputs, row, compared.rule)}


def naive(compared: Compared, base: Params, finetunes: Mapping[str, Params]) -> Iterator[Params]:
    """The same by numpy in float64, rounded once."""
    for row in WEIGHTS:
        merged = dict(base)
        for name, tensor in base.items():
            if all(name in tune for tune in finetunes.values()):
                tunes = np.stack([tune[name].double().numpy().ravel() for tune in finetunes.values()])
                flat = compared.naive(tensor.double().numpy().ravel(), tunes, row, compared.settings)
                merged[name] = torch.from_numpy(flat.reshape(tensor.shape)).to(tensor.dtype)
        yield merged
