"""A run folder: where it is, what is in it, and how it is listed.

recipe.yaml        the recipe, with absolute paths
journal.sqlite     evaluations, costs, decisions
posteriors/        one file per task
unfinished/        pieces of a fit that was interrupted
training/          training checkpoints of joint finetunings that were interrupted
trained/           jointly finetuned checkpoints
report.html, front.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paretomerge.errors import InputError
from paretomerge.runs.journal import Journal

JOURNAL_NAME = "journal.sqlite"
RECIPE_NAME = "recipe.yaml"


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe this run follows."""
        return self.path / RECIPE_NAME

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.path / JOURNAL_NAME

    @property
    def posteriors(self) -> Path:
        """The folder of posterior files."""
        return self.path / "posteriors"

    @property
    def unfinished(self) -> Path:
        """The folder of what an interrupted fit has finished."""
        return self.path / "unfinished"

    @property
    def training(self) -> Path:
        """The folder of what interrupted joint finetunings need to go on."""
        return self.path / "training"

    @property
    def trained(self) -> Path:
        """The folder of jointly finetuned checkpoints."""
        return self.path / "trained"

    @property
    def is_run(self) -> bool:
        """Whether a run was started here; a recipe alone is just a recipe."""
        return self.recipe.is_file() and self.journal.is_file()

    def require(self) -> RunFolder:
        """Itself, or `InputError` when no run was started here."""
        if not self.is_run:
            raise InputError(
                f"{self.path} is not a run folder (one has {RECIPE_NAME} and {JOURNAL_NAME}): start one with  "
                "paretomerge fit RECIPE"
            )
        return self

    def open_journal(self) -> Journal:
        """Open the journal."""
        return Journal(self.journal)


@dataclass(frozen=True)
class RunSummary:
    """One line of `paretomerge runs`."""

    path: str
    evaluations: int
    trainings: int
    seconds: float
    stages: tuple[str, ...]


def list_runs(directory: Path) -> list[RunSummary]:
    """Every run folder directly or one level below `directory`, in the order of their names.

    Raises:
        InputError: the directory does not exist.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder")
    found = [directory, *sorted(child for child in directory.iterdir() if child.is_dir())]
    return [_summarise(RunFolder(path)) for path in found if RunFolder(path).is_run]


def _summarise(folder: RunFolder) -> RunSummary:
    with folder.open_journal() as journal:
        costs = journal.ledger()
        return RunSummary(
            str(folder.path),
            journal.count(),
            sum(cost.trainings for cost in costs.values()),
            sum(cost.seconds for cost in costs.values()),
            tuple(costs),
        )
