"""Tasks of lm-eval: finding and opening them, what they measure, and what their scores depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from paretomerge.errors import DataError, EvaluationError, ParetomergeError, nearest
from paretomerge.evaluation.harness.quiet import as_guest, require_lm_eval
from paretomerge.types import Objective

_UNIT: tuple[float | None, float | None] = (0.0, 1.0)
_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(("acc", "acc_norm", "acc_bytes", "exact_match", "f1"), _UNIT),
    **dict.fromkeys(("perplexity", "word_perplexity", "byte_perplexity"), (1.0, None)),
    **dict.fromkeys(("bits_per_byte", "ter"), (0.0, None)),
    **dict.fromkeys(("bleu", "chrf"), (0.0, 100.0)),
    "brier_score": (0.0, 2.0),
    "mcc": (-1.0, 1.0),
}
"""Of lm-eval's own metrics. A task that computes its metrics itself may mean others by these names."""


@dataclass(frozen=True)
class HarnessTask:
    """One task of lm-eval.

    Args:
        name: as lm-eval knows it.
        metric: which of its metrics; all when `None`.
        filter: which of its filters, where it has several; all when `None`.
        few_shot: examples in the prompt; the task's own number when `None`.
        limit: examples at most, from the first; all when `None`.
    """

    name: str
    metric: str | None = None
    filter: str | None = None
    few_shot: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class HarnessSettings:
    """What holds for all tasks; the same words as on lm-eval's own command line.

    Args:
        include: folders with task files of one's own (`--include_path`); Python code that these name is run.
        batch_size: requests at a time.
        chat_template: whether prompts are put into the tokenizer's chat template (`--apply_chat_template`).
        system: instruction before every prompt (`--system_instruction`).
        max_length: tokens of a request at most; the model's own length when `None`.
        seed: all of lm-eval's seeds; its own (0, 1234, 1234, 1234) when `None`.
        network: whether data sets may be downloaded.
        unsafe_code: whether answers that are programs may be run (`--confirm_run_unsafe_code`).
        device: where the model runs; `"auto"` takes a GPU where there is one.
    """

    include: tuple[str, ...] = ()
    batch_size: int = 16
    chat_template: bool = False
    system: str | None = None
    max_length: int | None = None
    seed: int | None = None
    network: bool = False
    unsafe_code: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Measure:
    """One number that a task gives: a metric after a filter.

    Attributes:
        label: how it is called here: the metric, with `/filter` where the task has several filters.
        metric, filter: as lm-eval calls them.
        objective: what it means, for some task of ours.
    """

    label: str
    metric: str
    filter: str
    objective: Objective


def open_task(task: HarnessTask, settings: HarnessSettings) -> Any:
    """lm-eval's task with its examples, as its command line would run it.

    Raises:
        DataError: an unknown name, a group of tasks, or examples that are not on this machine.
        EvaluationError: lm-eval cannot read it.
        MissingExtraError: lm-eval is not installed.
    """
    bare = HarnessTask(task.name, few_shot=task.few_shot)
    return _opened(bare, replace(settings, batch_size=1, device="", system=None, max_length=None))


@lru_cache(maxsize=64)
def _opened(task: HarnessTask, settings: HarnessSettings) -> Any:
    with as_guest(network=settings.network, seed=settings.seed):
        entry, manager = _find(task.name, settings.include)
        changes = _with_found_files(entry, settings.include)
        # Only as a member of a group may a task of a file have other settings than the file's.
        member = {"group": "paretomerge", "task": [{"task": task.name, **changes}]}
        try:
            opened = manager.load([member if changes else task.name])["tasks"][task.name]
        except ParetomergeError:
            raise
        except Exception as error:
            raise _cannot_open(task.name, error, settings) from error
        _set_few_shot(opened, task.few_shot)
    return opened


def measures_of(task: HarnessTask, settings: HarnessSettings, name: str = "") -> tuple[Measure, ...]:
    """What an lm-eval task measures, of which `task.metric` and `task.filter` pick.

    Args:
        task: the task.
        settings: of all tasks.
        name: our name of the task, for objectives.

    Raises:
        DataError: a metric or filter that it does not have.
        DataError, EvaluationError, MissingExtraError: as `open_task`.
    """
    opened = open_task(task, settings)
    better = dict(opened.higher_is_better() or {})
    filters = [each.name for each in getattr(opened, "_filters", [])] or ["none"]
    metrics = list(opened.aggregation() or better)
    own = opened.get_config("process_results") is not None
    found = []
    for metric in metrics:
        for each in filters:
            label = metric if len(filters) == 1 else f"{metric}/{each}"
            direction = "minimise" if better.get(metric) is False else "maximise"
            bounds = _BOUNDS.get(metric, (None, None)) if not own or metric.startswith("acc") else (None, None)
            objective = Objective(f"{label}[{name}]", direction, "", bounds, name, label)  # type: ignore[arg-type]
            found.append(Measure(label, metric, each, objective))
    return _picked(task, found, metrics, filters)


def harness_objectives(tasks: Mapping[str, HarnessTask], settings: HarnessSettings) -> tuple[Objective, ...]:
    """The objectives of lm-eval tasks: direction from `higher_is_better`, bounds where lm-eval's own metrics have them.

    Args:
        tasks: task of ours → task of lm-eval.
        settings: of all tasks.

    Raises:
        DataError, EvaluationError, MissingExtraError: as `measures_of`.
    """
    return tuple(each.objective for name, task in tasks.items() for each in measures_of(task, settings, name))


def harness_digest(tasks: Mapping[str, HarnessTask], settings: HarnessSettings) -> str:
    """What scores depend on besides the model: lm-eval's version, settings, and the files of one's own tasks.

    Of tasks in the folders `include` the YAML and Python files beside them and the data files they name are read;
    lm-eval's own tasks change with its version.

    Raises:
        DataError, MissingExtraError: as `open_task`.
    """
    require_lm_eval()
    digest = hashlib.sha256(json.dumps([harness_version(), _plain(tasks, settings)], sort_keys=True).encode())
    with as_guest(network=settings.network):
        for task in tasks.values():
            entry, _ = _find(task.name, settings.include)
            home = Path(entry.yaml_path).parent if entry.yaml_path else None
            if home is None or not any(home.is_relative_to(Path(folder).resolve()) for folder in settings.include):
                continue
            named = [Path(file) for file in _files_in(entry.cfg, _with_found_files(entry, settings.include))]
            for file in sorted({*home.glob("*.yaml"), *home.glob("*.py"), *named}):
                if file.is_file():
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def harness_version() -> str:
    """The version of lm-eval, without importing it; `"unknown"` where it is not installed."""
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        return "unknown"


def _plain(tasks: Mapping[str, HarnessTask], settings: HarnessSettings) -> dict[str, object]:
    """Settings that scores depend on; metric and filter only pick, and where files are found does not matter."""
    kept = {key: value for key, value in asdict(settings).items() if key not in ("include", "network", "device")}
    named = {name: asdict(replace(task, metric=None, filter=None)) for name, task in tasks.items()}
    return {"settings": kept, "tasks": named}


def _picked(task: HarnessTask, found: Iterable[Measure], metrics: list[str], filters: list[str]) -> tuple[Measure, ...]:
    if task.metric is not None and task.metric not in metrics:
        raise DataError(
            f"the lm-eval task {task.name!r} has no metric {task.metric!r}{nearest(task.metric, metrics)}: it has "
            f"{', '.join(metrics)}"
        )
    if task.filter is not None and task.filter not in filters:
        raise DataError(
            f"the lm-eval task {task.name!r} has no filter {task.filter!r}{nearest(task.filter, filters)}: it has "
            f"{', '.join(filters)}"
        )
    return tuple(each for each in found if task.metric in (None, each.metric) and task.filter in (None, each.filter))


def _find(name: str, include: tuple[str, ...]) -> tuple[Any, Any]:
    """lm-eval's entry of a task, and the manager that knows it: of one's own folders first, which is fast."""
    missing = [folder for folder in include if not Path(folder).is_dir()]
    if missing:
        raise DataError(f"lm_eval: include: there is no folder {missing[0]}")
    managers = [_manager(include, False)] if include else []
    entry = managers[0].task_index.get(name) if managers else None
    if entry is None:
        managers = [_manager(include, True)]
        entry = managers[0].task_index.get(name)
    manager = managers[0]
    if entry is None:
        where = f" (looked in {', '.join(include)} and among lm-eval's own)" if include else " (give `include:`?)"
        raise DataError(
            f"lm-eval knows no task {name!r}{nearest(name, manager.all_tasks)}{where}: `lm-eval ls tasks` lists them"
        )
    if name not in manager.all_subtasks:
        kind = "group" if name in manager.all_groups else "tag"
        raise DataError(
            f"{name!r} is a {kind} of lm-eval tasks, whose average hides what is traded: name one of its tasks, and "
            "give each further one a task of its own in the recipe"
        )
    return entry, manager


@lru_cache(maxsize=8)
def _manager(include: tuple[str, ...], with_defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=list(include) or None, include_defaults=with_defaults)


def _with_found_files(entry: Any, include: tuple[str, ...]) -> dict[str, Any]:
    """Data files that a task names relative to its own folder, or one of `include`, as absolute paths.

    lm-eval looks in the present folder alone, where they are taken first.
    """
    named = dict((entry.cfg or {}).get("dataset_kwargs") or {})
    if entry.yaml_path is None or not named:
        return {}
    places = [Path(entry.yaml_path).parent, *map(Path, include)]
    found = {
        key: _absolute(value, places) if key in ("data_files", "data_dir") else value for key, value in named.items()
    }
    return {"dataset_kwargs": found} if found != named else {}


def _absolute(value: Any, places: list[Path]) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_absolute(each, places) for each in value]
    if not isinstance(value, str) or "://" in value or Path(value).is_absolute() or Path(value).exists():
        return value
    return next((str(place / value) for place in places if (place / value).exists()), value)


def _files_in(config: Mapping[str, Any] | None, found: Mapping[str, Any]) -> Iterable[str]:
    """The data files a task's configuration names."""
    kwargs = found.get("dataset_kwargs") or (config or {}).get("dataset_kwargs") or {}
    waiting = [kwargs.get("data_files")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += list(value.values())
        elif isinstance(value, list):
            waiting += value


def _set_few_shot(task: Any, few_shot: int | None) -> None:
    """As lm-eval's own `--num_fewshot`: a task that says 0 keeps it."""
    own = task.get_config("num_fewshot")
    if few_shot is not None and own != 0:
        task.set_config(key="num_fewshot", value=few_shot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)


def _cannot_open(name: str, error: Exception, settings: HarnessSettings) -> ParetomergeError:
    text = f"{type(error).__name__}: {str(error).strip() or 'no message'}"[:400]
    offline = ("Offline", "ConnectionError", "DatasetNotFound", "FileNotFound", "LocalEntryNotFound")
    if any(word in text for word in offline):
        remedy = (
            "check its dataset_path and dataset_kwargs"
            if settings.network
            else "let it be downloaded with  network: true,  or make a task of your own whose dataset_path is json and "
            "whose dataset_kwargs name data_files"
        )
        return DataError(f"the data of the lm-eval task {name!r} are not on this machine ({text}): {remedy}")
    return EvaluationError(f"lm-eval cannot open the task {name!r}: {text}")
