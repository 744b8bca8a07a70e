"""The recipe: everything a run depends on, as frozen, validated dataclasses.

Unknown keys are refused, with the nearest known one named. Paths are relative to the recipe's own folder.
"""

from __future__ import annotations

import math
from typing import Any, Literal
from unicodedata import bidirectional, category

from pydantic import Field, field_validator, model_validator

from paretomerge.errors import nearest
from paretomerge.recipes.evaluators import (
    CommandSection,
    EvaluatorField,
    EvaluatorSection,
    FunctionSection,
    HarnessSection,
    MetricsSection,
    require_kinds,
)
from paretomerge.recipes.file_problems import FILE_PROBLEMS, ProblemSection
from paretomerge.recipes.placement import PlacementSection
from paretomerge.recipes.section import Section

LARGEST_SEED = 1 << 62  # generators take 64 bits; trainings add a little to it
LONGEST_NAME = 200
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def _misleads(letter: str) -> bool:
    """Whether a character breaks a line, or makes a terminal or a reader see something else than is there."""
    return category(letter) in ("Cc", "Zl", "Zp") or bidirectional(letter) in _TURNS


class TaskSection(Section):
    """One task: its finetuned checkpoint, and its data.

    `data` is the path of the examples for problems that are made from files, and a word to the function otherwise.
    """

    checkpoint: str
    data: str | None = None


class ObjectiveSection(Section):
    """One objective of a custom evaluator."""

    name: str
    direction: Literal["minimise", "maximise"] = "minimise"
    unit: str = ""
    bounds: tuple[float | None, float | None] = (None, None)
    task: str = ""
    metric: str = ""


class PosteriorSection(Section):
    """Which posterior is fitted, on which split, and how its damping is set; or the files that hold it.

    `files: {task: FILE}` names a posterior for every task, fitted elsewhere: then nothing is measured, and family and
    split are those of the files.

    Without `damping` it is the family's own, which is what measurement says is best (docs/how-to-choose.md). `damping:
    validation` tries the values of `dampings` and keeps the one with the lowest validation loss of the merged models,
    `Σ α_t l_t` averaged over a coarse grid of weightings; `damping: evidence` the one with the largest marginal
    likelihood, at no evaluation.
    """

    family: str = "subspace"
    settings: dict[str, Any] = Field(default_factory=dict)
    split: Literal["training", "validation"] = "training"
    files: dict[str, str] = Field(default_factory=dict)
    damping: Literal["validation", "evidence"] | float | None = None
    dampings: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

    @field_validator("damping", mode="before")
    @classmethod
    def _damping(cls, value: Any) -> Any:
        """A number that can be added, or a word; a message of one part instead of one per type."""
        if value in (None, "validation", "evidence"):
            return value
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(f"must be a number of at least 0, 'validation' or 'evidence', got {value!r}")
        return number

    @field_validator("dampings")
    @classmethod
    def _dampings(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        """Numbers that can be added."""
        if not values or not all(0 <= value < math.inf for value in values):
            raise ValueError(f"must be one or more numbers of at least 0, got {list(values)}")
        return values


class RuleSection(Section):
    """The merge rule."""

    name: str = "posterior"
    settings: dict[str, Any] = Field(default_factory=dict)


class FrontSection(Section):
    """How the front is estimated: by which method, from how many evaluations, over what.

    Args:
        method: `informed`, `map`, `bayesian-map`, `nested-map`, or `spaced`, which only measures.
        settings: of the method.
        evaluations: merged models that are measured; 0 trusts the posteriors alone.
        domain: `weights` (task weights on the simplex), `coefficients` (one scaling coefficient per task), or `groups`
            (one per parameter group and task).
        bounds: of the coefficients.
        groups: how parameters are grouped where posteriors do not say: `model`, `layer`, `block`, `tensor`, or a
            regular expression whose captured text names the group.
        split: whose examples merged models are measured on.
        metric: what the front trades off, one objective per task.
        objectives: names of the objectives that it trades off, instead of a metric.
        constraints: limits on anything that is measured, such as `tokens <= 300`.
        points: how many points the drawn front has at most.
        interval: level of the intervals.
        drawn_models: how many models are drawn from the merged posterior, and measured, at each of five points of the
            front, for what parameters leave open; none, or at least 2.
        workers: processes that measure merged models side by side.
        asynchronous: whether a new point is proposed whenever a worker is free, instead of batch by batch; `informed`
            only, and not reproducible.
        racing: whether models are scored on growing parts of the examples, and not finished once they are surely
            dominated.
    """

    method: str = "informed"
    settings: dict[str, Any] = Field(default_factory=dict)
    evaluations: int = Field(default=15, ge=0)
    domain: Literal["weights", "coefficients", "groups"] = "weights"
    bounds: tuple[float, float] = (0.0, 1.0)
    groups: str = "layer"
    split: Literal["validation", "test"] = "validation"
    metric: str = "loss"
    objectives: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    points: int = Field(default=100, ge=1)
    interval: float = Field(default=0.9, gt=0, lt=1)
    drawn_models: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    asynchronous: bool = False
    racing: bool = False

    @model_validator(mode="after")
    def _check(self) -> FrontSection:
        """What cannot go together."""
        if self.asynchronous and (self.method != "informed" or self.racing):
            raise ValueError("asynchronous: only with method informed and without racing, which compares whole batches")
        if self.drawn_models == 1 or (self.drawn_models and self.domain != "weights"):
            raise ValueError("drawn_models: at least 2, and only with domain weights, where posteriors are merged")
        return self

    @field_validator("bounds")
    @classmethod
    def _bounds(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        """An interval."""
        if not -math.inf < bounds[0] < bounds[1] < math.inf:
            raise ValueError(f"must be [lower, upper] with lower < upper, got {list(bounds)}")
        return bounds


class TrainingSection(Section):
    """Joint finetuning for verification: the same recipe as the single-task finetunes.

    `ivon` holds the settings of `optimizer: ivon`, by the names of `training.IvonSettings`; `lora` those of an adapter
    that is trained instead of the whole model, by the names of `training.LoraSettings`.
    """

    steps: int = Field(default=200, ge=1)
    examples_per_task: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = 0.0
    warmup: float = Field(default=0.05, ge=0, le=1)
    final_rate: float = Field(default=0.0, ge=0, le=1)
    max_norm: float | None = None
    mix: Literal["equal", "proportional", "sampled"] = "equal"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    optimizer: Literal["adamw", "ivon"] = "adamw"
    ivon: dict[str, Any] | None = None
    lora: dict[str, Any] | None = None
    accumulate: int = Field(default=1, ge=1)
    normalise: Literal["none", "start"] = "none"
    save_every: int | None = Field(default=None, ge=1)
    check_every: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    device: str = "auto"


class Recipe(Section):
    """One run, from checkpoints to a verified front.

    Args:
        base: the pretrained checkpoint.
        tasks: task → checkpoint.
        problem: `sequence_classification`, `causal_lm` or `image_classification`, made from the base's folder and the
            tasks' `data`; or `file.py:function` or `module:function`: called with no argument (or with a mapping
            task → `data` when tasks carry `data`), it returns a `Problem`: model, data, likelihood. Needed for
            curvature, for the standard evaluator and for verification.
        problem_settings: of a problem that is made from files.
        placement: where the problem's model is while merges are measured, for models that fit on no single device.
        evaluator: instead of the problem's own losses and accuracies: `file.py:function`, `(params, task) → per-example
            scores`; or one or more sections with a `function`, `metrics` of the problem, tasks of `lm_eval`, or a
            `command`. See `recipes.evaluators`.
        objectives: what the scores of functions and commands mean. Those of other evaluators are known; an entry for
            the same task and metric replaces what is known.
        posterior, rule, front, training: see their sections.
        max_distance: a finetune farther from the base than this (relative to the base's norm) is refused as the
            finetune of another model.
        seed: of everything random.
    """

    base: str
    tasks: dict[str, TaskSection]
    problem: str | None = None
    problem_settings: ProblemSection = ProblemSection()
    placement: PlacementSection | None = None
    evaluator: EvaluatorField | None = None
    objectives: tuple[ObjectiveSection, ...] = ()
    posterior: PosteriorSection = PosteriorSection()
    rule: RuleSection = RuleSection()
    front: FrontSection = FrontSection()
    training: TrainingSection = TrainingSection()
    max_distance: float = Field(default=1.0, gt=0)
    seed: int = Field(default=0, ge=0, lt=LARGEST_SEED)

    @field_validator("evaluator", mode="before")
    @classmethod
    def _sections(cls, value: Any) -> Any:
        """One section is a list of one."""
        if value is None or isinstance(value, str):
            return value
        sections = list(value) if isinstance(value, list | tuple) else [value]
        require_kinds(sections)
        return sections or None

    @property
    def evaluators(self) -> tuple[EvaluatorSection, ...]:
        """The evaluator as sections; none where the problem's own losses and accuracies are measured."""
        if isinstance(self.evaluator, str):
            return (FunctionSection(function=self.evaluator),)
        return self.evaluator or ()

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if not self.tasks:
            raise ValueError("tasks: give at least one task with its checkpoint")
        for name in self.tasks:
            # What would break tables, file names and terminals; anything else may be in a name.
            if not name.strip() or len(name) > LONGEST_NAME or any(map(_misleads, name)):
                raise ValueError(
                    f"tasks: {name[:LONGEST_NAME]!r} is no name: give 1 to {LONGEST_NAME} characters, without line "
                    "breaks, marks that turn the direction of writing, and other control characters"
                )
        if self.posterior.files and set(self.posterior.files) != set(self.tasks):
            raise ValueError(
                f"posterior.files: give one file for every task ({', '.join(self.tasks)}), got "
                f"{', '.join(self.posterior.files)}"
            )
        if self.posterior.files and self.posterior.settings:
            raise ValueError("posterior: files hold posteriors that are fitted already: leave out the settings")
        if not self.evaluator and not self.problem:
            raise ValueError("problem: give a problem (model and data) or an evaluator, else nothing can be measured")
        self._check_evaluators()
        self._check_placement()
        self._check_problem()
        return self

    def _check_evaluators(self) -> None:
        """What its sections need elsewhere in the recipe."""
        for section in self.evaluators:
            if isinstance(section, FunctionSection | CommandSection) and not self.objectives:
                raise ValueError("objectives: an evaluator needs a list of objectives that names its scores")
            if isinstance(section, MetricsSection) and not self.problem:
                raise ValueError("problem: an evaluator's `metrics` are those of a problem: give model and data")
            if isinstance(section, HarnessSection):
                unknown = [task for task in section.lm_eval if task not in self.tasks]
                if unknown:
                    raise ValueError(
                        f"evaluator: lm_eval names the task {unknown[0]!r}{nearest(unknown[0], self.tasks)}; the "
                        f"recipe's tasks are {', '.join(self.tasks)}: write  task of the recipe: task of lm-eval"
                    )

    def _check_placement(self) -> None:
        """Only the problem's own model is placed."""
        if self.placement is None:
            return
        if not self.problem:
            raise ValueError("placement: it is the problem's model that is placed, and there is no problem")
        if any(isinstance(section, HarnessSection) for section in self.evaluators):
            raise ValueError("placement: lm_eval makes a model of its own on one device; measure `metrics` instead")

    def _check_problem(self) -> None:
        """Problems made from files need data and settings of their own; functions have neither."""
        if self.problem in FILE_PROBLEMS:
            self.problem_settings.settings_of(self.problem)
            bare = [task for task, section in self.tasks.items() if section.data is None]
            if bare:
                raise ValueError(
                    f"tasks.{bare[0]}.data: problem {self.problem} needs the path of every task's examples, a folder "
                    "or a file"
                )
        elif self.problem_settings != ProblemSection():
            raise ValueError(
                f"problem_settings: only problems made from files have settings ({', '.join(FILE_PROBLEMS)}); a "
                "function has its own"
            )
