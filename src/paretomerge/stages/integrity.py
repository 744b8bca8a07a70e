"""Whether a run folder can still be trusted: `paretomerge runs --verify RUN`. Nothing in it is changed.

Looked at are the journal (see `runs.integrity`), the recipe, the checkpoints that it names, every stored posterior and
jointly finetuned model, and what processes left that were killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints import MANIFEST, Checkpoint, load_curvature, open_checkpoint, read_provenance
from paretomerge.checkpoints.files.safetensors_files import open_safetensors
from paretomerge.errors import InputError, ParetomergeError
from paretomerge.recipes import Recipe, digest_recipe, load_recipe
from paretomerge.runs import RunFolder
from paretomerge.runs.fingerprints import fingerprint
from paretomerge.runs.integrity import Flaw, check_journal
from paretomerge.stages.joint.trained import POSTERIOR, read_manifest

Progress = Callable[[str], None]

_TEMPORARY = (".partial", ".replaced")


@dataclass(frozen=True)
class Integrity:
    """What was found in a run folder.

    Args:
        path: the folder.
        flaws: what is not as it was left; none in a sound run.
        version: of the journal's schema; `None` where it cannot be read.
        evaluations: models whose evaluation is stored.
        posteriors, trained: how many files and folders of each were read whole.
        checkpoints: how many of those that the recipe names were read whole.
    """

    path: str
    flaws: tuple[Flaw, ...]
    version: int | None
    evaluations: int
    posteriors: int
    trained: int
    checkpoints: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that can make results wrong or stop the next command."""
        return all(flaw.severity != "error" for flaw in self.flaws)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"sound": self.is_sound, **asdict(self)}


def check_integrity(run: str | os.PathLike[str], progress: Progress = lambda message: None) -> Integrity:
    """Check a run folder; every stored file and every checkpoint that the recipe names is read once.

    Args:
        run: the folder.
        progress: called with short messages.

    Raises:
        InputError: no folder, or one that never held a run.
    """
    folder = RunFolder(Path(run))
    if not folder.path.is_dir():
        raise InputError(f"{folder.path} is not a folder")
    if not _held_a_run(folder.path):
        folder.require()
    progress("journal")
    journal = check_journal(folder.journal)
    search = _Search(folder, dict(journal.facts), progress)
    flaws = [*journal.flaws, *search.recipe(), *search.checkpoints(), *search.posteriors()]
    flaws += [*search.trained(), *search.left_over(), *search.stale()]
    return Integrity(str(folder.path), tuple(flaws), journal.version, journal.evaluations, *search.counts)


def runs_in(directory: Path) -> list[Path]:
    """A run itself, else the runs directly below a folder, also those that lost their recipe or journal.

    Raises:
        InputError: no folder, or one without runs.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder")
    found = [directory] if _held_a_run(directory) else sorted(filter(_held_a_run, directory.iterdir()))
    if not found:
        RunFolder(directory).require()
    return found


def _held_a_run(path: Path) -> bool:
    folder = RunFolder(path)
    # A recipe alone is just a recipe.
    return folder.journal.exists() or (
        folder.recipe.exists() and (folder.posteriors.exists() or folder.trained.exists())
    )


class _Search:
    """The parts of one check, which share the recipe and its checkpoints."""

    def __init__(self, folder: RunFolder, facts: Mapping[str, Any], progress: Progress) -> None:
        self._folder, self._facts, self._progress = folder, facts, progress
        self._recipe: Recipe | None = None
        self._digests: dict[str, str] = {}  # of the base ("") and the finetunes that could be read whole
        self._read = [0, 0, 0]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Posteriors, trained models and checkpoints that were read."""
        return self._read[0], self._read[1], self._read[2]

    def recipe(self) -> Iterator[Flaw]:
        try:
            self._recipe = load_recipe(self._folder.recipe)
        except ParetomergeError as error:
            yield Flaw("error", self._folder.recipe.name, f"{error}. Copy the recipe that the run was made from here")

    def checkpoints(self) -> Iterator[Flaw]:
        recipe = self._recipe
        if recipe is None:
            return
        paths = {"base": recipe.base, **{task: section.checkpoint for task, section in recipe.tasks.items()}}
        base: Checkpoint | None = None
        for number, (name, path) in enumerate(paths.items()):
            if path.startswith("hub:"):
                continue  # told by its commit; nothing is downloaded to check a folder
            self._progress(f"checkpoint {number + 1} of {len(paths)}")
            try:
                opened = open_checkpoint(path, base if number else None)
                base = base if number else opened
                self._digests["" if not number else name] = opened.digest
            except ParetomergeError as error:
                yield Flaw("error", f"checkpoint of {name!r}" if number else "base", str(error))
                continue
            self._read[2] += 1

    def posteriors(self) -> Iterator[Flaw]:
        known = self._facts.get("curvature")
        stored = known.get("files") if isinstance(known, Mapping) else None
        known_files = stored if isinstance(stored, Mapping) else {}
        there = {path.name for path in self._folder.posteriors.glob("*")}
        for name in sorted(set(map(str, known_files)) - there):
            yield Flaw("error", f"posteriors/{name[:80]}", "the file is missing: run  paretomerge fit  again")
        if not self._folder.posteriors.is_dir():
            return
        for path in sorted(self._folder.posteriors.glob("[!.]*.safetensors")):
            self._progress(f"posterior {path.name}")
            self._read[0] += 1
            where = f"posteriors/{path.name}"
            why = _posterior(path) or self._foreign(path)
            if not why and path.name in known_files and fingerprint(path) != known_files[path.name]:
                why = "the file is not the one that was fitted"
            if why:
                yield Flaw("error", where, f"{why}: delete it and run  paretomerge fit  again")

    def _foreign(self, path: Path) -> str:
        """Why a posterior does not belong to the checkpoints of the recipe as they are now."""
        made = read_provenance(path)
        if made is None or self._recipe is None:
            return ""
        number = path.name.partition("-")[0]
        task = (
            list(self._recipe.tasks)[int(number)] if number.isdigit() and int(number) < len(self._recipe.tasks) else ""
        )
        for name, digest in (("", made.base), (task, made.checkpoint)):
            if digest and self._digests.get(name, digest) != digest:
                return f"the checkpoint of {name or 'the base'} has changed since it was fitted"
        return ""

    def trained(self) -> Iterator[Flaw]:
        if not self._folder.trained.is_dir():
            return
        for path in sorted(self._folder.trained.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            self._progress(f"trained model {path.name}")
            self._read[1] += 1
            for why in self._trained_model(path):
                yield Flaw("error", f"trained/{path.name}", f"{why}: delete the folder, and it is trained again")

    def _trained_model(self, path: Path) -> Iterator[str]:
        try:
            manifest = read_manifest(path)
        except ParetomergeError as error:
            yield str(error)
            return
        yield from _files(path, manifest)
        base = manifest.get("base")
        made_on = base.get("digest") if isinstance(base, Mapping) else None
        if made_on and self._digests.get("", made_on) != made_on:
            yield "it was trained on another base than the recipe's as it is now"
        if (path / POSTERIOR).is_file():
            yield from filter(None, [_posterior(path / POSTERIOR)])

    def left_over(self) -> Iterator[Flaw]:
        for path in sorted(self._folder.path.rglob(".*")):
            if path.name.endswith(_TEMPORARY):
                where = str(path.relative_to(self._folder.path))
                yield Flaw("warning", where, "left by a process that was killed, or is at work: it is never read")
        for path, what in ((self._folder.unfinished, "fit"), (self._folder.training, "joint finetuning")):
            if path.is_dir() and any(path.iterdir()):
                yield Flaw("warning", path.name, f"an interrupted {what}: the same command continues it")

    def stale(self) -> Iterator[Flaw]:
        """Results of an earlier state of the recipe; the commands measure again what changed."""
        if self._recipe is None:
            return
        digest = digest_recipe(self._recipe)
        for name in ("front", "choice", "verification"):
            fact = self._facts.get(name)
            if isinstance(fact, Mapping) and fact.get("recipe", digest) != digest:
                yield Flaw("warning", name, "belongs to an earlier state of the recipe: run its command again")


def _posterior(path: Path) -> str:
    """What is wrong with a file of a posterior; nothing where it is sound."""
    try:
        load_curvature(path)
        held = open_safetensors(path)
        for name in held.names:
            values = held.read(name)
            if values.dtype.is_floating_point and not bool(torch.isfinite(values).all()):
                return f"{name!r} has values that are not finite"
    except ParetomergeError as error:
        return str(error)
    return ""


def _files(path: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Files that the manifest names and that are not there in full; and weights that are no numbers."""
    sizes = manifest.get("files")
    if not isinstance(sizes, Mapping) or not sizes:
        yield f"its {MANIFEST} names no files"
        return
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    for name, size in sizes.items():
        file = path / name[:200]
        if name not in there:
            yield f"{name[:80]!r} is missing"
        elif file.stat().st_size != size:
            yield f"{file.name} has {file.stat().st_size} bytes, its {MANIFEST} says {size}"
    try:
        held = open_checkpoint(path)
        for name in held:
            values = held[name]
            if values.dtype.is_floating_point and not bool(torch.isfinite(values).all()):
                yield f"{name!r} has values that are not finite"
                return
    except ParetomergeError as error:
        yield str(error)
