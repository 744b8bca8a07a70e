"""`init`: look at a base and at finetunes, and write a recipe that runs.

Everything is a guess that the draft states with its reason, and that the recipe shows as a value or a comment. Nothing
is written before `write_recipe`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Checkpoint, open_checkpoint
from paretomerge.checkpoints.atomic import write_text
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError, InputError, ParetomergeError, nearest
from paretomerge.problems.models import read_model
from paretomerge.stages.drafting.bases import NewBase, base_with_head
from paretomerge.stages.drafting.draft import Draft, Guess
from paretomerge.stages.drafting.examples import (
    ColumnGuess,
    Examples,
    find_data,
    guess_columns,
    measure_length,
    read_examples,
)
from paretomerge.stages.drafting.finetunes import Finetune, Kind, config_of, find_finetunes
from paretomerge.stages.drafting.recipe_text import SCORED, RecipeParts, recipe_text, relative_to


@dataclass(frozen=True, eq=False)
class _Found:
    """Base, finetunes and examples, and what was said about them on the way."""

    base: Checkpoint
    base_path: str
    finetunes: Mapping[str, Finetune]
    opened: Mapping[str, Checkpoint]
    kind: Kind | None
    examples: dict[str, Examples] = field(default_factory=dict)
    guesses: list[Guess] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def model_folder(self) -> Path:
        """A folder with configuration and tokenizer of these models."""
        folders = [self.base.source, *(tune.path for tune in self.finetunes.values())]
        known = [f for f in folders if f is not None and f.is_dir() and (f / "config.json").is_file()]
        with_tokenizer = [f for f in known if any(file.name.startswith("tokenizer") for file in f.iterdir())]
        return (with_tokenizer or known or [Path()])[0]


def draft_recipe(
    base: str | os.PathLike[str],
    finetunes: Sequence[str] = (),
    tasks: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    *,
    folder: str | os.PathLike[str] = ".",
    make_base: str | os.PathLike[str] | None = None,
) -> Draft:
    """Draft a recipe for these models; nothing is written.

    Args:
        base: the pretrained checkpoint; a bare encoder will do, see `Draft.new_base`.
        finetunes: folders of finetunes, which give the tasks their names; also output folders of the Trainer of
            transformers, of which the newest checkpoint is taken.
        tasks: task → folder of its finetune, for names of your own.
        data: task → file or folder of its examples, where they would not be found beside the models.
        folder: where the recipe will lie; its paths are relative to it.
        make_base: where a base with the finetunes' head is to be written if one is needed; by default beside the
            recipe.

    Raises:
        CheckpointError: a folder without a model, or finetunes that are of another model than the base.
        InputError: no finetunes, two of one task, or data of a task that is not there.
        DataError: examples that cannot be read.
    """
    folder = Path(folder)
    found = _open(base, finetunes, tasks or {})
    given = data or {}
    for task in given:
        if task not in found.finetunes:
            raise InputError(
                f"--data {task}=…: there is no task {task!r}{nearest(task, found.finetunes)}; the tasks are "
                f"{', '.join(found.finetunes)}"
            )
    new_base = base_with_head(found.base, found.finetunes, found.opened)
    base_folder = _base_folder(found, new_base, folder, make_base)
    _look_for_examples(found, given, folder)
    columns = guess_columns(found.kind, found.examples) if found.kind and found.examples else ColumnGuess({}, {})
    found.warnings.extend(columns.doubts)
    parts = _parts(found, columns, base_folder, "" if new_base is None else new_base.reason, folder)
    complete = found.kind is not None and len(found.examples) == len(found.finetunes) and not columns.doubts
    return Draft(
        recipe_text(parts),
        tuple(found.finetunes),
        tuple(found.guesses),
        tuple(dict.fromkeys(found.warnings)),
        complete,
        new_base,
        base_folder,
    )


def write_recipe(draft: Draft, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Write a drafted recipe, and the new base first where it needs one.

    Raises:
        InputError: there is such a file already.
        CheckpointError: the folder of the new base is not empty.
        StorageError: the disk refused.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already: give another name with --out, or --overwrite")
    if draft.new_base is not None and draft.base_folder is not None:
        draft.new_base.write(draft.base_folder, overwrite)
    return write_text(target, draft.text)


def _open(base: str | os.PathLike[str], paths: Sequence[str], named: Mapping[str, str]) -> _Found:
    opened_base = open_checkpoint(base)
    config = config_of(opened_base)
    found = find_finetunes(paths, named)
    # Some save the weights alone: then they are of the base's architecture.
    finetunes = {task: tune if tune.config else replace(tune, config=config) for task, tune in found.items()}
    opened = {task: _open_finetune(tune, opened_base) for task, tune in finetunes.items()}
    kinds = {tune.kind for tune in finetunes.values()}
    if len(kinds) > 1:
        listed = ", ".join(f"{task}: {tune.kind or 'unknown'}" for task, tune in finetunes.items())
        raise InputError(
            f"the finetunes are of different kinds ({listed}): only models of one architecture can be merged"
        )
    draft = _Found(opened_base, os.fspath(base), finetunes, opened, kinds.pop())
    for task, tune in finetunes.items():
        what = "adapter" if tune.adapter else "model"
        draft.guesses.append(Guess(f"{task}", f"{what} in {tune.path}", "; ".join(tune.notes)))
        draft.warnings.extend(note for note in tune.notes if "better" in note)
    _compare_outputs(draft)
    names = next((tune.config.get("architectures") for tune in finetunes.values() if tune.config), None) or ["unknown"]
    if draft.kind is None:
        draft.warnings.append(
            f"the architecture {names[0]} has no head that a problem from files knows: write `problem:` or "
            "`evaluator:` yourself (see the comments in the recipe)"
        )
    else:
        draft.guesses.append(Guess("problem", draft.kind, f"the architecture is {names[0]}"))
    return draft


def _open_finetune(tune: Finetune, base: Checkpoint) -> Checkpoint:
    try:
        return open_checkpoint(tune.path, base)
    except CheckpointError as error:
        if not tune.adapter:
            raise
        raise CheckpointError(
            f"{error}. If the base is a bare encoder: save it with a head once "
            "(AutoModelForSequenceClassification.from_pretrained(...).save_pretrained(...)) and give that folder"
        ) from error


def _compare_outputs(found: _Found) -> None:
    """Warn where one output means different classes in two finetunes."""
    named = {task: tune.outputs for task, tune in found.finetunes.items() if tune.outputs}
    for task, outputs in list(named.items())[1:]:
        first = next(iter(named))
        if outputs != named[first]:
            found.warnings.append(
                f"the outputs of {first} are {', '.join(named[first])}, those of {task} {', '.join(outputs)}: a merged "
                "model has one head, in which an output means one thing. Finetune with one label2id for all tasks"
            )


def _base_folder(
    found: _Found, new_base: NewBase | None, folder: Path, make_base: str | os.PathLike[str] | None
) -> Path | None:
    if new_base is None:
        return None
    name = found.base.source.name if found.base.source is not None else "base"
    target = Path(make_base) if make_base is not None else folder / f"{name}-with-head"
    found.guesses.append(
        Guess("base", f"{target} ({new_base.bytes / 1e6:.0f} MB)", "written anew: the base has no such head")
    )
    found.warnings.append(new_base.reason)
    return target


def _look_for_examples(found: _Found, given: Mapping[str, str], folder: Path) -> None:
    above = [parent for tune in found.finetunes.values() for parent in list(tune.given.absolute().parents)[:3]]
    base = [] if found.base.source is None else [found.base.source.absolute().parent]
    places = list(dict.fromkeys([folder.absolute(), Path.cwd(), *above, *base]))
    for task, tune in found.finetunes.items():
        path, why = (user_path(given[task]), "given") if task in given else find_data(tune, places)
        if path is None:
            found.warnings.append(f"no examples found for {task} ({why}): give --data {task}=FILE-or-FOLDER")
            continue
        try:
            examples = found.examples[task] = read_examples(task, path, found.kind)
        except ParetomergeError as error:
            if task in given:
                raise
            found.warnings.append(f"{path} was found for {task}, but cannot be read: {error}")
            continue
        sizes = ", ".join(
            f"{len(table):,}{' ' + split if split else ' rows'}" for split, table in examples.tables.items()
        )
        found.guesses.append(Guess(f"data of {task}", f"{path} ({sizes})", why))
        if examples.is_shared_out:
            found.warnings.append(
                f"the examples of {task} are one file, which is shared out anew: the finetune has probably seen those "
                "that become validation and test. Give a folder with a file per split to know better"
            )
        elif "validation" not in examples.tables:
            found.warnings.append(
                f"{task} has no validation split, on which merged models are measured: add one to {path}"
            )


def _parts(found: _Found, columns: ColumnGuess, base_folder: Path | None, reason: str, folder: Path) -> RecipeParts:
    base = found.base_path if base_folder is None else str(base_folder)
    tasks: dict[str, dict[str, str]] = {}
    for task, tune in found.finetunes.items():
        tasks[task] = {"checkpoint": relative_to(tune.path, folder)}
        if task in found.examples:
            tasks[task]["data"] = relative_to(found.examples[task].path, folder)
    made = [(tune.state.get("max_steps"), tune.state.get("train_batch_size")) for tune in found.finetunes.values()]
    steps, batch = made[0] if len(set(made)) == 1 else (None, None)
    training = {"steps": steps, "batch": batch} if isinstance(steps, int) and isinstance(batch, int) else {}
    remarks = [f"{base_folder.name} was made by init: {reason}"] if base_folder is not None else []
    return RecipeParts(
        base if base.startswith("hub:") else relative_to(Path(base), folder),
        tasks,
        found.kind,
        _settings(found, columns),
        {role: f"column {name!r}, {columns.why[role]}" for role, name in columns.columns.items() if name},
        training,
        tuple(remarks),
    )


def _settings(found: _Found, columns: ColumnGuess) -> dict[str, Any]:
    """The settings of the problem, those that are not as by default."""
    settings: dict[str, Any] = {role: name for role, name in columns.columns.items() if name != role}
    for role, name in columns.columns.items():
        found.guesses.append(Guess(role, "none" if name is None else f"column {name!r}", columns.why.get(role, "")))
    texts = [name for role, name in columns.columns.items() if name and role in ("text", "prompt", "response")]
    if texts:
        length = measure_length(read_model(found.model_folder), found.examples, texts)
        if length is None:
            found.warnings.append(f"no tokenizer could be read in {found.model_folder}, so max_length is its default")
        else:
            settings["max_length"] = length.tokens
            found.guesses.append(Guess("max_length", str(length.tokens), length.why))
    largest = max((examples.largest for examples in found.examples.values()), default=0)
    if largest > SCORED:
        settings["examples"] = SCORED
        found.guesses.append(Guess("examples", str(SCORED), f"of every split at most; the largest has {largest:,}"))
    return settings
