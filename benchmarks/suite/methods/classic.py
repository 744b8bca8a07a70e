"""What practitioners merge with: averaging, task arithmetic, TIES, DARE and Fisher-weighted averaging.

Averaging has nothing to choose. Each of the others chooses among six candidates on validation data (`tuning`). Weights
are on the simplex, so scale 1 has the length of an average and scale `T` is the plain sum of `T` task vectors. The base
and the best single finetune show what not merging at all would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.methods.fits import Fitted, fit_once
from benchmarks.suite.methods.tuning import Settings, Tuned, tune
from benchmarks.suite.setting import Setting
from paretomerge import Averaging, Dare, FisherWeighted, FitDiagonal, TaskArithmetic, Ties
from paretomerge.merging import MergeRule, collect_inputs, merge_blocks
from paretomerge.posteriors import Posterior
from paretomerge.stages.fitting.previews import weighted_loss
from paretomerge.types import Ledger, Params

FISHER = "Fisher-weighted"
DAMPINGS = (1e-6, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Relative to the mean of the diagonal; the least is the floor that published code has."""
DENSITIES = (0.2, 0.6)
"""Shares of entries that TIES and DARE keep; the first is what TIES was published with."""


@dataclass(frozen=True)
class ClassicRule:
    """A rule on checkpoints alone.

    Args:
        name: of the method.
        candidates: of `T` tasks, the settings that validation chooses from; none where there is nothing to choose.
        make: `(settings, seed) → rule`.
    """

    name: str
    candidates: Callable[[int], list[Settings]]
    make: Callable[[Settings, int], MergeRule]


def scales(count: int) -> list[Settings]:
    """Around an average, and three steps towards the sum of `T` task vectors."""
    return [{"scale": scale} for scale in (0.7, 0.85, 1.0, *(float(count**power) for power in (0.2, 0.4, 0.7)))]


def densities_and_scales(count: int) -> list[Settings]:
    """Two densities, each at three scales."""
    return [
        {"density": density, "scale": scale} for density, scale in product(DENSITIES, (0.7, 1.0, float(count**0.3)))
    ]


AVERAGING = ClassicRule("averaging", lambda count: [], lambda chosen, seed: Averaging())
TASK_ARITHMETIC = ClassicRule("task arithmetic", scales, lambda chosen, seed: TaskArithmetic(chosen["scale"]))
TIES = ClassicRule("TIES", densities_and_scales, lambda chosen, seed: Ties(chosen["density"], chosen["scale"]))
DARE = ClassicRule(
    "DARE", densities_and_scales, lambda chosen, seed: Dare(chosen["density"], chosen["scale"], seed=seed)
)


def classic(smoke: bool) -> list[Method]:
    """Rules on checkpoints alone, Fisher-weighted averaging, and no merging at all."""
    methods = [Method("base", find_base, factors={"family": "none"})]
    methods.append(Method("best finetune", find_best_finetune, factors={"family": "none"}))
    for rule in (AVERAGING, TASK_ARITHMETIC, TIES, DARE):
        family = "isotropic" if rule is AVERAGING else "none"
        methods.append(Method(rule.name, _finder(rule, smoke), factors={"family": family, "rule": rule.name}))
    fisher = Method(FISHER, lambda setting: find_fisher(setting, smoke), factors={"family": "diagonal", "rule": FISHER})
    return [*methods, fisher]


def merged(setting: Setting, rule: MergeRule, rows: np.ndarray) -> Iterator[Params]:
    """Merges of the finetunes at weightings `[K, T]`, one after the other."""
    return merged_from(setting, setting.finetunes, rule, rows)


def merged_from(
    setting: Setting, posteriors: Mapping[str, Posterior | Params], rule: MergeRule, rows: np.ndarray
) -> Iterator[Params]:
    """The same of posteriors that were fitted."""
    inputs = collect_inputs(posteriors, base=setting.base)
    for row in rows:
        yield {name: tensor[0] for name, tensor in merge_blocks(inputs, row, rule)}


def tuned_rule(setting: Setting, rule: ClassicRule, smoke: bool = False) -> Tuned:
    """Its settings by validation, or as an earlier method has found them."""
    candidates = thinned(rule.candidates(len(setting.tasks)), smoke)
    if not candidates:
        return Tuned({}, 0, 0.0, {})
    return tune(setting, rule.name, candidates, lambda each, rows: merged(setting, rule.make(each, setting.seed), rows))


def tuned_damping(setting: Setting, smoke: bool = False) -> Tuned:
    """The damping of Fisher-weighted averaging by validation, or as an earlier method has found it.

    Diagonals are measured with one label per example, drawn from the model; and not at all where the choice is known.
    """
    fitted = cache(lambda: fisher_fit(setting))

    def models(each: Settings, rows: np.ndarray) -> Iterator[Params]:
        return merged_from(setting, fitted().curvatures.posteriors(each["damping"]), FisherWeighted(), rows)

    return tune(setting, FISHER, thinned([{"damping": each} for each in DAMPINGS], smoke), models)


def fisher_fit(setting: Setting) -> Fitted:
    """The diagonals, which other methods may have measured already."""
    return fit_once(setting, FitDiagonal(), keep=True)


def thinned(candidates: list[Settings], smoke: bool) -> list[Settings]:
    """The first and the last in smoke versions."""
    return candidates[:: max(1, len(candidates) - 1)] if smoke else candidates


def _finder(rule: ClassicRule, smoke: bool) -> Callable[[Setting], Found]:
    def find(setting: Setting) -> Found:
        chosen = tuned_rule(setting, rule, smoke)
        models = merged(setting, rule.make(chosen.settings, setting.seed), setting.weights)
        return tuned_found(setting, models, chosen)

    return find


def find_fisher(setting: Setting, smoke: bool = False) -> Found:
    """Fisher-weighted averaging with the chosen damping."""
    fitted = fisher_fit(setting)
    chosen = tuned_damping(setting, smoke)
    posteriors = fitted.curvatures.posteriors(chosen.settings["damping"])
    models = merged_from(setting, posteriors, FisherWeighted(), setting.weights)
    found = tuned_found(setting, models, chosen)
    cost = found.cost + fitted.curvatures.ledger
    return replace(found, cost=cost, core_seconds=found.core_seconds + fitted.core_seconds)


def tuned_found(setting: Setting, models: Iterable[Params], chosen: Tuned) -> Found:
    """Models at the setting's weightings, with the price of the choice."""
    facts = {"settings": dict(chosen.settings), **chosen.facts}
    cost = Ledger(evaluations=chosen.evaluations)
    return Found(setting.weights, models, cost, facts, chosen.core_seconds)


def find_base(setting: Setting) -> Found:
    """No finetuning: the base at every weighting."""
    return Found(setting.weights, (setting.base for _ in setting.weights))


def find_best_finetune(setting: Setting) -> Found:
    """No merging: at every weighting the single finetune that has the least weighted loss on validation data."""
    evaluator = setting.evaluator("validation")
    tasks = dict.fromkeys(setting.tasks, setting.base)
    units = np.eye(len(setting.tasks))
    losses = np.array(
        [[weighted_loss(evaluator, setting.finetunes[task], tasks, unit) for unit in units] for task in setting.tasks]
    )
    best = np.argmin(setting.weights @ losses.T, axis=1)
    names = [setting.tasks[number] for number in best]
    models = (setting.finetunes[name] for name in names)
    return Found(setting.weights, models, Ledger(evaluations=len(setting.tasks)), {"finetunes": names})
