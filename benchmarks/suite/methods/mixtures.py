"""Several runs per task: their posteriors as mixtures, against the equal soup of the same runs.

`K` runs are seeds 0 to K-1 of the setting's single finetunes; all of them are paid for.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.fits import Fitted, fit_once, fit_runs, fitted_to, run_of
from benchmarks.suite.methods.previews import factors_of, from_fit
from benchmarks.suite.setting import Setting
from paretomerge import Averaging, FitDiagonal, FitIsotropic, FitSubspace, MixtureMerge
from paretomerge.curvature import Curvatures, average
from paretomerge.posteriors import Curvature, Mixture
from paretomerge.stages import PreviewMethod
from paretomerge.types import Ledger, Params

COUNTS = (1, 2, 3, 5, 10)
COMPONENT = FitDiagonal()


def mixtures(smoke: bool) -> list[Method]:
    """Up to ten runs, where trainings are cheap."""
    return [method for count in (COUNTS[:2] if smoke else COUNTS) for method in of_runs(count)]


def mixtures_few(smoke: bool) -> list[Method]:
    """One and two runs, which the noise floor needs anyhow."""
    return [method for count in COUNTS[:2] for method in of_runs(count)]


def of_runs(count: int) -> list[Method]:
    """All that is made of so many runs; with one, expectation-maximisation has nothing to choose."""
    runs = "1 run" if count == 1 else f"{count} runs"
    found = [equal_soup(f"soup of {runs}", count), mixture(f"mixture of {runs}, EM", count, MixtureMerge("layer"))]
    if count > 1:
        equal = MixtureMerge("layer", responsibilities="equal")
        found.append(mixture(f"mixture of {runs}, equal responsibilities", count, equal))
        found.append(soup_then_default(f"soup of {runs}, then default", count))
    return found


def mixture(name: str, count: int, rule: MixtureMerge) -> Method:
    """Diagonal posteriors of all runs, one mixture per task."""
    method = PreviewMethod(name, COMPONENT, rule, strengths=(COMPONENT.damping,))
    factors = {
        **factors_of(COMPONENT),
        "family": "mixture",
        "study": "runs",
        "runs": count,
        "responsibilities": rule.responsibilities,
    }
    return from_fit(method, partial(fit_mixture, count=count), factors, count)


def fit_mixture(setting: Setting, count: int) -> Fitted:
    """The runs' posteriors, fitted once for all counts."""
    found = [fit_once(setting, COMPONENT, keep=True, repeat=repeat) for repeat in range(count)]
    bare: dict[str, Curvature] = {}
    for task in setting.tasks:
        members: list[Any] = [each.curvatures.bare[task] for each in found]
        bare[task] = Mixture.of_runs(members)
    ledger = sum((each.curvatures.ledger for each in found), Ledger())
    seconds = sum(each.core_seconds for each in found)
    return Fitted(Curvatures(found[0].curvatures.method, bare, ledger=ledger), found[0].base, seconds)


def equal_soup(name: str, count: int) -> Method:
    """The runs of each task averaged, then the tasks."""

    def fit(setting: Setting) -> Fitted:
        return fit_runs(setting, soups(setting, count), FitIsotropic())

    factors = {"family": "isotropic", "study": "runs", "runs": count, "responsibilities": "soup"}
    return from_fit(PreviewMethod(name, FitIsotropic(), Averaging()), fit, factors, count)


def soup_then_default(name: str, count: int) -> Method:
    """The runs of each task averaged, and the default method on what comes out."""
    default = FitSubspace()
    method = PreviewMethod(name, default, strengths=(default.damping,))

    def fit(setting: Setting) -> Fitted:
        return fit_runs(setting, soups(setting, count), fitted_to(setting, default))

    factors = {**factors_of(default), "study": "runs", "runs": count, "responsibilities": "soup"}
    return from_fit(method, fit, factors, count)


def soups(setting: Setting, count: int) -> dict[str, Params]:
    """Task → the average of its runs."""
    runs = [run_of(setting, repeat) for repeat in range(count)]
    return {task: average({str(number): run[task] for number, run in enumerate(runs)}) for task in setting.tasks}
