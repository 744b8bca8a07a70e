from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Any

import pytest
import yaml

from paretomerge.choices import Thresholds
from paretomerge.curvature import FitSubspace
from paretomerge.errors import RecipeError
from paretomerge.merging import TaskArithmetic
from paretomerge.recipes import TABLES, method
from paretomerge.recipes import methods as table


@dataclass(frozen=True)
class Majority:
    """A rule as a third party would bring it."""

    density: float = 0.2


class _Entry:
    name, value = "majority", "somewhere:methods"

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def load(self) -> Any:
        if isinstance(self.returned, Exception):
            raise self.returned
        return lambda: self.returned


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Entry]]:
    entries: list[_Entry] = []

    def found(group: str) -> list[_Entry]:
        assert group == "paretomerge.methods"
        return entries

    monkeypatch.setattr(table, "entry_points", found)
    table._plugins.cache_clear()
    yield entries
    table._plugins.cache_clear()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in TABLES.items() for name in names])
def test_every_row_is_a_frozen_dataclass_of_settings(kind: Any, name: str) -> None:
    row = table._class_of(TABLES[kind][name])
    assert is_dataclass(row)
    assert row.__dataclass_params__.frozen
    assert row.__doc__


def test_settings_reach_the_method() -> None:
    assert method("posterior", "subspace", {"groups": "tensor", "centres": 2}) == FitSubspace("tensor", centres=2)
    assert method("rule", "task_arithmetic", {"scale": 1.5}) == TaskArithmetic(1.5)
    assert method("choice", "thresholds", {"thresholds": {"a": 0.5}}) == Thresholds({"a": 0.5})


@pytest.mark.parametrize(
    ("kind", "name", "settings", "message"),
    [
        ("posterior", "diagnal", {}, r"unknown posterior 'diagnal' \(did you mean 'diagonal'\?\): one of isotropic"),
        ("rule", "zebra", {}, "unknown rule 'zebra': one of posterior, averaging, weighted_sum, task_arithmetic"),
        ("rule", "task_arithmetic", {"scales": 1}, r"no setting 'scales' \(did you mean 'scale'\?\)"),
        ("rule", "averaging", {"scale": 1}, r"its settings are \(none\)"),
        ("posterior", "subspace", {"centres": "two"}, "setting 'centres' cannot be 'two': .*integer"),
        ("posterior", "subspace", {"location": "finetunes"}, "'location' cannot be 'finetunes'"),
        ("posterior", "subspace", {"centres": -1}, "centres"),
        ("posterior", "subspace", {"validated": "maybe"}, "setting 'validated' cannot be 'maybe': .*boolean"),
        ("posterior", "subspace", {"gradient_examples": "some"}, "setting 'gradient_examples' cannot be 'some'"),
        ("posterior", "subspace", {"enrich": "hessian"}, "'enrich' cannot be 'hessian'"),
        ("choice", "thresholds", {}, "missing 1 required positional argument: 'thresholds'"),
    ],
)
def test_wrong_names_and_settings_are_named(kind: Any, name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        method(kind, name, settings)


def test_a_plugin_adds_a_row(plugins: list[_Entry]) -> None:
    plugins.append(_Entry({"rule": {"majority": Majority}}))
    assert method("rule", "majority", {"density": 0.1}) == Majority(0.1)
    with pytest.raises(RecipeError, match=r"averaging.*task_arithmetic"):
        method("rule", "majorite")
    with pytest.raises(RecipeError, match="unknown posterior 'majority'"):
        method("posterior", "majority")


def test_a_plugin_cannot_take_the_name_of_a_built_in_method(plugins: list[_Entry]) -> None:
    plugins.append(_Entry({"rule": {"task_arithmetic": Majority}}))
    assert type(method("rule", "task_arithmetic")) is TaskArithmetic
    with pytest.raises(RecipeError, match="unknown rule 'majority'"):
        method("rule", "majority")


def test_a_broken_plugin_is_named_and_disturbs_only_what_needs_plugins(plugins: list[_Entry]) -> None:
    plugins.append(_Entry(ImportError("no module named 'majority'")))
    assert method("rule", "averaging")
    with pytest.raises(RecipeError, match=r"plugin 'majority' \(somewhere:methods\) cannot be loaded, ImportError"):
        method("rule", "majority")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{}", FitSubspace("layer", "centred", "scaled_gradient", 2, validated=True)),
        ("{enrich: auto, centres: 0}", FitSubspace("layer", "centred", "scaled_gradient", 2)),
        ("{location: finetune}", FitSubspace("layer", "finetune", "none", 1)),
        ("{enrich: none, centres: 1}", FitSubspace("layer", "centred", "none", 1)),
        ("{validated: no, examples: 150}", FitSubspace(validated=False, examples=150)),
        ("{gradient_examples: 600}", FitSubspace(gradient_examples=600)),
        ("{gradient_examples: null}", FitSubspace()),
    ],
)
def test_settings_of_a_subspace_as_a_recipe_writes_them(settings: str, expected: FitSubspace) -> None:
    assert method("posterior", "subspace", yaml.safe_load(settings)) == expected


def test_a_number_that_yaml_reads_as_text_is_a_number() -> None:
    assert method("rule", "task_arithmetic", {"scale": "1e-3"}) == TaskArithmetic(0.001)
    assert method("rule", "ties", {"density": {"a": "5e-1", "b": 0.2}}) == method(
        "rule", "ties", {"density": {"a": 0.5, "b": 0.2}}
    )
