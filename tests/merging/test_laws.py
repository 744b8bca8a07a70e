"""Every law that a row of `cases.py` claims, over random models; and for every other one a counterexample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cases import CASES, LAWS, Case, Setting

from paretomerge.errors import ParetomergeError
from paretomerge.testing import (
    batch_equals_single,
    blockwise_equals_whole,
    corner_returns_task,
    dtypes_are_kept,
    equal_tasks_are_fixed,
    inputs_are_untouched,
    no_weight_returns_base,
    order_does_not_matter,
    weightless_task_is_absent,
)
from paretomerge.types import Params

NAMES = ("embed.weight", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight")
SHAPES = ((), (1,), (3,), (0,), (0, 3), (2, 3), (1, 2, 2))
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@st.composite
def random_settings(draw: st.DrawFn, min_tasks: int = 1) -> Setting:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    return Setting.random(
        {name: draw(st.sampled_from(SHAPES)) for name in names},
        draw(st.sampled_from(DTYPES)),
        draw(st.integers(min_tasks, 6)),
        draw(st.integers(0, 10_000)),
        draw(st.booleans()),
    )


def corner(case: Case, setting: Setting) -> None:
    corner_returns_task(case.merger(setting), setting.finetunes, setting.tolerance)


def equal_tasks(case: Case, setting: Setting) -> None:
    setting = setting.with_equal_finetunes()
    finetune = setting.finetunes[setting.tasks[0]]
    equal_tasks_are_fixed(case.merger(setting), setting.tasks, finetune, setting.tolerance)


def order(case: Case, setting: Setting) -> None:
    weights = dict(zip(setting.tasks, case.weightings(setting)[0], strict=True))
    order_does_not_matter(case.merger(setting), case.merger(setting, reverse=True), weights, setting.tolerance)


def batch(case: Case, setting: Setting) -> None:
    batch_equals_single(case.merger(setting), case.weightings(setting), setting.tolerance)


def untouched(case: Case, setting: Setting) -> None:
    merge = case.merger(setting)
    natural = [
        tensors_of(posterior)
        for posterior in case.give(setting).posteriors.values()
        if hasattr(type(posterior), "natural")
    ]
    inputs = [setting.base, *setting.finetunes.values(), *setting.jacobians.values(), *natural]
    inputs_are_untouched(merge, case.weightings(setting)[0], inputs)


def tensors_of(found: object, name: str = "") -> dict[str, torch.Tensor]:
    """Every tensor inside a posterior, by its place."""
    if isinstance(found, torch.Tensor):
        return {name: found}
    if isinstance(found, tuple):
        found = dict(enumerate(found))
    parts = found if isinstance(found, Mapping) else vars(found) if hasattr(found, "__dict__") else {}
    return {place: t for key, part in parts.items() for place, t in tensors_of(part, f"{name}.{key}").items()}


def blockwise(case: Case, setting: Setting) -> None:
    names = [name for name, tensor in setting.base.items() if tensor.is_floating_point()]

    def merge_part(name: str, weights: object) -> Params:
        return case.merger(setting.restricted(name))(weights)

    blockwise_equals_whole(case.merger(setting), merge_part, names, case.weightings(setting)[0], setting.tolerance)


def dtypes(case: Case, setting: Setting) -> None:
    dtypes_are_kept(case.merger(setting), case.weightings(setting)[0], setting.base)


def no_weight(case: Case, setting: Setting) -> None:
    no_weight_returns_base(case.merger(setting), setting.tasks, setting.base, setting.tolerance)


def absent(case: Case, setting: Setting) -> None:
    if len(setting.tasks) == 1:
        return
    weights = dict(zip(setting.tasks, setting.weights[0], strict=True))
    last = setting.tasks[-1]
    weightless_task_is_absent(
        case.merger(setting), case.merger(setting.without(last)), weights, last, setting.tolerance
    )


RUN: dict[str, Callable[[Case, Setting], None]] = {
    "corner_returns_task": corner,
    "equal_tasks_are_fixed": equal_tasks,
    "order_does_not_matter": order,
    "batch_equals_single": batch,
    "inputs_are_untouched": untouched,
    "blockwise_equals_whole": blockwise,
    "dtypes_are_kept": dtypes,
    "no_weight_returns_base": no_weight,
    "weightless_task_is_absent": absent,
}


def rows(claimed: bool) -> list[pytest.param]:
    return [
        pytest.param(case, law, id=f"{case.name}: {law}")
        for case in CASES
        for law in LAWS
        if (law in case.claims) == claimed
    ]


def test_every_law_can_be_run_and_every_claim_is_a_law():
    assert tuple(RUN) == LAWS
    assert all(case.claims <= set(LAWS) for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(("case", "law"), rows(claimed=True))
@settings(max_examples=12)
@given(setting=random_settings())
def test_claimed_law_holds(case: Case, law: str, setting: Setting):
    RUN[law](case, case.fitting(setting))


@pytest.mark.parametrize(("case", "law"), rows(claimed=False))
def test_unclaimed_law_is_false(case: Case, law: str):
    """A row claims all it can: some setting breaks every law it does not claim, or is refused with a reason."""
    broken = 0
    for seed in range(3):
        setting = Setting.random({"blocks.0.weight": (2, 3), "embed.weight": (4,)}, torch.float64, 3, seed)
        try:
            RUN[law](case, case.fitting(setting))
        except (AssertionError, ParetomergeError):
            broken += 1
    assert broken, f"{case.name} obeys {law}: claim it"
