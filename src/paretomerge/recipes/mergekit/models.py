"""Which models a mergekit configuration merges: paths, `models` or `slices`, and the base among them.

`models` lists whole models; a base that is not among them is added (mergekit does so silently). `slices` pick layers:
one slice of the same layers of every model, from 0 on, is a whole merge written in another way; everything else
builds a model of other layers (a frankenmerge), which is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePath
from typing import Any

from paretomerge.checkpoints import Checkpoint, open_checkpoint
from paretomerge.checkpoints.files.hub import SCHEME
from paretomerge.errors import RecipeError, nearest
from paretomerge.recipes.mergekit.parameters import Settings

MODEL_KEYS = ("model", "parameters")
SOURCE_KEYS = ("model", "layer_range", "parameters")
SLICE_KEYS = ("sources", "base_model", "parameters", "residual_weight")
REFERENCE_KEYS = ("model", "lora")
USE_MERGEKIT = "run mergekit itself for this one; its output folder can be a checkpoint here"


@dataclass(frozen=True)
class ModelPath:
    """A folder, and the folder of a LoRA adapter on top of it: `DIR` or `DIR+LORA`.

    Relative paths are relative to the working directory. What mergekit would fetch from a hub by its name alone is
    written `hub://organisation/name@revision`.
    """

    folder: str
    adapter: str | None = None

    def __str__(self) -> str:
        """As it is written in the configuration."""
        return self.folder if self.adapter is None else f"{self.folder}+{self.adapter}"

    def open(self) -> Checkpoint:
        """The checkpoint, with the adapter applied as it is read.

        Raises:
            CheckpointError: see `open_checkpoint`.
        """
        return open_checkpoint(self.folder) if self.adapter is None else open_checkpoint(self.adapter, self.folder)


@dataclass(frozen=True)
class Source:
    """One model and the parameters at its own level."""

    model: ModelPath
    parameters: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """All models of a configuration in its order.

    Args:
        models: each once, the base among them where it takes part.
        base: the `base_model`, of the file or of its only slice.
        slice_parameters: of the only slice.
        layers: how many layers the slice has; `None` where whole models are listed.
    """

    models: tuple[Source, ...]
    base: ModelPath | None
    slice_parameters: Settings = field(default_factory=dict)
    layers: int | None = None


def read_sources(content: Mapping[str, Any]) -> Sources:
    """The models of a configuration.

    Raises:
        RecipeError: none or both of `models` and `slices`, a frankenmerge, a model twice, a path of an unknown form.
    """
    if content.get("modules"):
        raise RecipeError(f"modules: merges of single parts of a model are not supported: {USE_MERGEKIT}")
    if bool(content.get("models")) == bool(content.get("slices")):
        raise RecipeError("exactly one of models and slices is needed: models: [{model: DIR, parameters: …}, …]")
    base = read_path(content["base_model"], "base_model") if content.get("base_model") else None
    sources = _from_slices(content["slices"], base) if content.get("slices") else _from_models(content["models"], base)
    seen: set[ModelPath] = set()
    for source in sources.models:
        if source.model in seen:
            raise RecipeError(f"the model {source.model} is listed twice: list it once, with the sum of the weights")
        seen.add(source.model)
    return sources


def read_path(given: Any, where: str) -> ModelPath:
    """`DIR`, `DIR+LORA`, or the mapping `{model: DIR, lora: LORA}`."""
    if isinstance(given, Mapping):
        _require_keys(given, REFERENCE_KEYS, where)
        lora = given.get("lora")
        return ModelPath(_folder(given.get("model"), where), None if lora is None else _folder(lora, f"{where}.lora"))
    folder, plus, adapter = _text(given, where).partition("+")
    if "+" in adapter:
        raise RecipeError(f"{where}: {given!r} has several '+': write DIR or DIR+LORA; a folder with '+' in its name "
                          "must be renamed")  # fmt: skip
    return ModelPath(_folder(folder, where), _folder(adapter, where) if plus else None)


def name_tasks(models: Sequence[ModelPath]) -> list[str]:
    """A short unique name for each model: the last parts of its path, as few as tell it from the others.

    >>> name_tasks([ModelPath("runs/math/final"), ModelPath("runs/code/final"), ModelPath("base", "lora-chat")])
    ['math-final', 'code-final', 'lora-chat']
    """
    parts = [[part for part in PurePath(model.adapter or model.folder).parts if part not in "/.."] for model in models]
    longest = max((len(path) for path in parts), default=0)
    names = ["-".join(path[-1:]) for path in parts]
    for depth in range(2, longest + 1):
        clashes = {name for name in names if names.count(name) > 1}
        names = ["-".join(path[-depth:]) if name in clashes else name for name, path in zip(names, parts, strict=True)]
    taken: list[str] = []
    for name in names:
        # the command line separates tasks by commas, and a task from its weight by '='
        plain = name.replace("=", "-").replace(",", "-") or "model"
        copies = (f"{plain}-{number}" for number in count(2))
        taken.append(plain if plain not in taken else next(copy for copy in copies if copy not in taken))
    return taken


def _from_models(models: Any, base: ModelPath | None) -> Sources:
    found = [_source(entry, f"models[{k}]", MODEL_KEYS) for k, entry in enumerate(_list(models, "models"))]
    if base is not None and base not in [source.model for source in found]:
        found.append(Source(base))
    return Sources(tuple(found), base)


def _from_slices(slices: Any, base: ModelPath | None) -> Sources:
    entries = _list(slices, "slices")
    if len(entries) != 1:
        raise RecipeError(
            f"slices: {len(entries)} slices stack layers into another model (a frankenmerge), which is not supported: "
            f"list whole models under models (layers can differ by gradients and filters), or {USE_MERGEKIT}"
        )
    content, where = entries[0], "slices[0]"
    _require_keys(content, SLICE_KEYS, where)
    sources = _list(content.get("sources"), f"{where}.sources")
    found = [_source(entry, f"{where}.sources[{k}]", SOURCE_KEYS) for k, entry in enumerate(sources)]
    ranges = [_layer_range(entry, f"{where}.sources[{k}]") for k, entry in enumerate(sources)]
    if any(layers != (0, ranges[0][1]) for layers in ranges):
        raise RecipeError(
            f"{where}: the layer ranges are {', '.join(str(list(layers)) for layers in ranges)}: only the same layers "
            f"of every model, from 0 to the last, can be merged; otherwise {USE_MERGEKIT}"
        )
    if content.get("base_model"):
        own = read_path(content["base_model"], f"{where}.base_model")
        if base is not None and own != base:
            raise RecipeError(f"{where}.base_model is {own}, the base_model of the file is {base}: keep one of them")
        base = own
    return Sources(tuple(found), base, content.get("parameters") or {}, ranges[0][1])


def _source(entry: Any, where: str, keys: Sequence[str]) -> Source:
    _require_keys(entry, keys, where)
    if "model" not in entry:
        raise RecipeError(f"{where}: names no model: write {{model: DIR}}")
    return Source(read_path(entry["model"], f"{where}.model"), entry.get("parameters") or {})


def _layer_range(entry: Mapping[str, Any], where: str) -> tuple[int, int]:
    given = entry.get("layer_range")
    if not (isinstance(given, list) and len(given) == 2 and all(type(bound) is int for bound in given)):
        raise RecipeError(f"{where}.layer_range: expected two whole numbers such as [0, 32], got {given!r}")
    return given[0], given[1]


def _require_keys(entry: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise RecipeError(f"{where}: expected a mapping with the keys {', '.join(known)}, got {entry!r}")
    for key in entry:
        if key not in known:
            raise RecipeError(
                f"{where}: unknown key {key!r}{nearest(key, known)}; the keys here are {', '.join(known)}"
            )


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise RecipeError(f"{where}: expected a list of at least one entry, got {given!r}")
    return given


def _folder(given: Any, where: str) -> str:
    if isinstance(given, Mapping) and set(given) == {"path"}:
        given = given["path"]
    text = _text(given, where)
    if "@" in text and not text.startswith(SCHEME):
        raise RecipeError(
            f"{where}: {text!r} names a revision on a hub, which is only fetched as {SCHEME}{text}: write that, or "
            "give a folder (without '@' in its name)"
        )
    return text


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given:
        raise RecipeError(f"{where}: expected the path of a model folder, DIR or DIR+LORA, got {given!r}")
    return given
