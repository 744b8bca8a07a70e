"""Names to methods: one explicit table per kind. A new method is one row, `room.Class`, imported when asked for.

Third parties register a zero-argument callable that returns `{kind: {name: class}}` under the entry-point group
`paretomerge.methods`; it is resolved lazily, when a name is not found in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, get_type_hints

from paretomerge.errors import DataError, PosteriorError, RecipeError, nearest

Kind = Literal["posterior", "rule", "front", "choice"]

TABLES: dict[Kind, dict[str, str]] = {
    "posterior": {
        "isotropic": "curvature.FitIsotropic",
        "diagonal": "curvature.FitDiagonal",
        "kronecker": "curvature.FitKronecker",
        "low_rank": "curvature.FitLowRank",
        "dense": "curvature.FitDense",
        "subspace": "curvature.FitSubspace",
    },
    "rule": {
        "posterior": "merging.PosteriorMerge",
        "averaging": "merging.Averaging",
        "weighted_sum": "merging.WeightedSum",
        "task_arithmetic": "merging.TaskArithmetic",
        "ties": "merging.Ties",
        "dare": "merging.Dare",
        "della": "merging.Della",
        "breadcrumbs": "merging.Breadcrumbs",
        "slerp": "merging.Slerp",
        "fisher": "merging.FisherWeighted",
        "mixture": "merging.MixtureMerge",
    },
    "front": {
        "informed": "fronts.methods.Informed",
        "map": "fronts.methods.Map",
        "bayesian-map": "fronts.methods.BayesianMap",
        "nested-map": "fronts.methods.NestedMap",
        "spaced": "fronts.methods.Spaced",
    },
    "choice": {
        "weights": "choices.ByWeights",
        "thresholds": "choices.Thresholds",
        "reference": "choices.ReferencePoint",
        "knee": "choices.Knee",
    },
}


def method(kind: Kind, name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The method `name` of a kind, with settings.

    Raises:
        RecipeError: an unknown name or setting, with the nearest known one.
    """
    table: dict[str, Any] = dict(TABLES[kind])
    if name not in table:
        table = {**_plugins().get(kind, {}), **table}
    if name not in table:
        raise RecipeError(f"unknown {_called(kind)} {name!r}{nearest(name, table)}: one of {', '.join(table)}")
    chosen = _class_of(table[name])
    known = [field.name for field in fields(chosen) if field.init]
    for key in settings or {}:
        if key not in known:
            raise RecipeError(
                f"{_called(kind)} {name!r} has no setting {key!r}{nearest(key, known)}: its settings are "
                f"{', '.join(known) or '(none)'}"
            )
    given = {key: _of_type(chosen, key, value, f"{_called(kind)} {name!r}") for key, value in (settings or {}).items()}
    try:
        return chosen(**given)
    except (TypeError, PosteriorError, DataError) as error:
        raise RecipeError(f"{_called(kind)} {name!r}: {error}") from error


def _called(kind: Kind) -> str:
    return "front method" if kind == "front" else kind


def _class_of(row: str | type) -> type:
    """The class a row names; third parties give the class itself."""
    if not isinstance(row, str):
        return row
    room, _, name = row.rpartition(".")
    return getattr(import_module(f"paretomerge.{room}"), name)


@cache
def _plugins() -> dict[str, dict[str, type]]:
    found: dict[str, dict[str, type]] = {}
    for entry in entry_points(group="paretomerge.methods"):
        try:
            for kind, table in entry.load()().items():
                found.setdefault(kind, {}).update(table)
        except Exception as error:
            raise RecipeError(
                f"the plugin {entry.name!r} ({entry.value}) cannot be loaded, {type(error).__name__}: {error}. "
                "Repair or uninstall it"
            ) from error
    return found


def _of_type(chosen: type, key: str, value: Any, what: str) -> Any:
    """A setting in the type of the method's own annotation: YAML reads `1e-3` as text, which is a number here.

    Raises:
        RecipeError: a value that the annotation excludes.
    """
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    try:
        expected: TypeAdapter[Any] = TypeAdapter(get_type_hints(chosen)[key])
    except (PydanticUserError, NameError, TypeError):
        return value  # an annotation that only a type checker understands
    try:
        return expected.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RecipeError(f"{what}: the setting {key!r} cannot be {value!r}: {reason}") from error
