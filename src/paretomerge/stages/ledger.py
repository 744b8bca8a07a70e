"""`ledger`: what a run has cost, the single-task trainings before it included, and what it replaces.

The alternative is a grid: joint finetuning at every weighting of a fixed resolution, each evaluated once. What of it
nobody has run is estimated from what this run has measured, and every such step is said in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Any, Literal

from paretomerge.checkpoints.folders import MANIFEST
from paretomerge.errors import DataError
from paretomerge.stages.study import Study
from paretomerge.training import TrainingRecipe
from paretomerge.types import Ledger

DIVISIONS = 10
"""Resolution of the joint grid: weightings in tenths, 11 for two tasks, 66 for three."""

FRONT_STAGES = ("fit", "damping", "front", "parameters")
"""What a front takes, besides the finetunes."""

SINGLE_STAGE = "finetunes"
"""Where a run that trains its own single-task finetunes charges them."""

Known = Literal["measured", "estimated", "unknown"]


@dataclass(frozen=True)
class RunLedger:
    """What a run has cost, beside what it replaces.

    Args:
        stages: what the run's journal says, but for the single-task finetunes.
        upfront: the single-task finetunes, whoever has trained them.
        front: `upfront` and the stages that lead to the front.
        total: everything: `upfront` and all stages.
        joint_grid: joint finetuning and evaluation at every weighting of the grid.
        weightings: how many these are.
        divisions: the grid's resolution.
        upfront_seconds, joint_grid_seconds: how their seconds are known; unknown ones count as none in the sums.
        assumptions: what was assumed and estimated, in sentences.
    """

    stages: dict[str, Ledger]
    upfront: Ledger
    front: Ledger
    total: Ledger
    joint_grid: Ledger
    weightings: int
    divisions: int
    upfront_seconds: Known
    joint_grid_seconds: Known
    assumptions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "assumptions": list(self.assumptions)}

    def rows(self) -> dict[str, dict[str, float | None]]:
        """The table that people see: every stage, the sums, and the grid; `None` where seconds are unknown."""
        guessed = {"measured": "", "estimated": ", estimated", "unknown": ", estimated"}
        return {
            f"single-task finetunes{guessed[self.upfront_seconds]}": _shown(self.upfront, self.upfront_seconds),
            **{name: _shown(cost, "measured") for name, cost in self.stages.items()},
            "= up to the front": _shown(self.front, self.upfront_seconds),
            "= in all": _shown(self.total, self.upfront_seconds),
            f"joint grid of {self.weightings}{guessed[self.joint_grid_seconds]}": _shown(
                self.joint_grid, self.joint_grid_seconds
            ),
        }

    @property
    def summary(self) -> str:
        """The front beside the grid, in one sentence."""
        parts = [f"the front took {self.front.trainings} trainings, the joint grid takes {self.joint_grid.trainings}"]
        if self.joint_grid.gradient_passes:
            share = self.front.gradient_passes / self.joint_grid.gradient_passes
            parts.append(f"{100 * share:.3g} % of its gradient passes")
        if "unknown" not in (self.upfront_seconds, self.joint_grid_seconds) and self.joint_grid.seconds:
            parts.append(f"{100 * self.front.seconds / self.joint_grid.seconds:.3g} % of its seconds")
        return ": ".join([parts[0], " and ".join(parts[1:])]) if len(parts) > 1 else parts[0]


def run_ledger(study: Study, divisions: int = DIVISIONS) -> RunLedger:
    """What a run has cost so far, and the estimated cost of the joint grid that its front replaces.

    Single-task finetunes that this package has trained are charged as their manifests say; the others are taken to
    have had the recipe's training settings. Seconds of trainings that nobody timed are their gradient passes times the
    seconds per pass of the trainings of this run or of its finetunes, or else of its curvature.

    Args:
        study: the run.
        divisions: the grid has the weightings whose task weights are multiples of one in so many.

    Raises:
        DataError: fewer divisions than one.
    """
    if divisions < 1:
        raise DataError(f"a grid needs at least one division, got {divisions}")
    with study.folder.open_journal() as journal:
        charges = journal.charges()
    found = _Trainings.of(study, charges)
    upfront = sum([*found.singles, *[found.one_single] * found.missing], Ledger())
    stages: dict[str, Ledger] = {}
    for stage, cost in found.others:
        stages[stage] = stages.get(stage, Ledger()) + cost
    weightings = comb(divisions + len(study.tasks) - 1, len(study.tasks) - 1)
    grid, grid_known = found.grid(weightings)
    return RunLedger(
        stages=stages,
        upfront=upfront,
        front=sum((stages[stage] for stage in FRONT_STAGES if stage in stages), upfront),
        total=sum(stages.values(), upfront),
        joint_grid=grid,
        weightings=weightings,
        divisions=divisions,
        upfront_seconds=found.upfront_known,
        joint_grid_seconds=grid_known,
        assumptions=found.assumptions(weightings, divisions),
    )


@dataclass(frozen=True)
class _Trainings:
    """What is known of the trainings of a run.

    Args:
        recipe: of joint and single-task trainings.
        tasks: how many.
        passes: gradient passes of one training at a single task, and at a weighting inside the simplex.
        singles: the single-task finetunes whose cost is known.
        others: every charge of the journal that is none of these.
        timed: trainings with seconds and passes.
    """

    recipe: TrainingRecipe
    tasks: int
    passes: tuple[int, int]
    singles: tuple[Ledger, ...]
    others: tuple[tuple[str, Ledger], ...]
    timed: tuple[Ledger, ...]

    @classmethod
    def of(cls, study: Study, charges: Sequence[tuple[str, Ledger]]) -> _Trainings:
        recipe = TrainingRecipe.of(study.recipe.training.model_dump())
        tasks = study.tasks
        corner = {task: float(number == 0) for number, task in enumerate(tasks)}
        inside = dict.fromkeys(tasks, 1 / len(tasks))
        singles, others = _apart(study, charges)
        trained = [cost for _, cost in others if cost.trainings == 1 and cost.gradient_passes and cost.seconds]
        timed = [*trained, *(cost for cost in singles if cost.gradient_passes and cost.seconds)]
        passes = (_passes(recipe, corner), _passes(recipe, inside))
        return cls(recipe, len(tasks), passes, tuple(singles), tuple(others), tuple(timed))

    @property
    def missing(self) -> int:
        """How many single-task finetunes have no known cost."""
        return max(0, self.tasks - sum(cost.trainings for cost in self.singles))

    @property
    def one_single(self) -> Ledger:
        """A single-task finetune that nobody has timed."""
        return Ledger(trainings=1, gradient_passes=self.passes[0], seconds=self.passes[0] * (self.rate or 0.0))

    @property
    def rate(self) -> float | None:
        """Seconds per gradient pass, of trainings if any was timed, else of the curvature."""
        timed = self.timed or tuple(cost for stage, cost in self.others if stage == "fit" and cost.gradient_passes)
        passes = sum(cost.gradient_passes for cost in timed)
        return sum(cost.seconds for cost in timed) / passes if passes else None

    @property
    def upfront_known(self) -> Known:
        """How the seconds of the single-task finetunes are known."""
        if not self.missing:
            return "measured"
        return "unknown" if self.rate is None else "estimated"

    def grid(self, weightings: int) -> tuple[Ledger, Known]:
        """Joint finetuning and evaluation at so many weightings."""
        inner = weightings - self.tasks if self.tasks > 1 else 0
        passes = self.passes[0] * (weightings - inner) + self.passes[1] * inner
        seconds = passes * (self.rate or 0.0) + weightings * (self.seconds_per_evaluation or 0.0)
        metered = [cost for cost in self.timed if cost.joules is not None and cost.metered_seconds]
        joules = None
        if metered and self.rate is not None:
            power = sum(cost.joules or 0.0 for cost in metered) / sum(cost.metered_seconds or 0.0 for cost in metered)
            joules = power * seconds
        cost = Ledger(weightings, passes, weightings, seconds, joules)
        return cost, "unknown" if self.rate is None else "estimated"

    @property
    def seconds_per_evaluation(self) -> float | None:
        """Seconds that scoring one model on every task took in this run."""
        costs = [cost for _, cost in self.others if cost.evaluations and not (cost.trainings or cost.gradient_passes)]
        return sum(c.seconds for c in costs) / sum(c.evaluations for c in costs) if costs else None

    def assumptions(self, weightings: int, divisions: int) -> tuple[str, ...]:
        """What the numbers rest on."""
        recipe, said = self.recipe, []
        setting = (
            f"the recipe's training settings, {recipe.steps} steps of {recipe.examples_per_task} examples per task"
        )
        if self.missing:
            who = "they" if self.missing == self.tasks else f"{self.missing} of {self.tasks}"
            said.append(
                f"single-task finetunes: what {who} cost is not recorded, so {who} are taken to have had {setting}"
            )
        else:
            said.append("single-task finetunes: as they were measured when they were trained")
        said.append(
            f"joint grid: every weighting in steps of 1/{divisions} ({weightings}, the single tasks included), each "
            f"trained once with {setting}, and evaluated once"
        )
        said.append(f"seconds of trainings nobody timed: {self._how_timed()}")
        if self.seconds_per_evaluation is None:
            said.append("seconds of evaluations: unknown, none was timed, so the grid's are without them")
        if any(cost.joules is not None for _, cost in self.others):
            said.append(
                "energy: what the machine's counters say (GPUs in use; processors and memory where they may be read), "
                "other work on the machine included; the grid's at the power of the trainings that were metered"
            )
        return tuple(said)

    def _how_timed(self) -> str:
        if self.rate is None:
            return "unknown, as this run has timed no gradient pass; sums are without them"
        if not self.timed:
            return f"{1e3 * self.rate:.3g} ms per gradient pass, as the curvature took"
        several = f"{len(self.timed)} trainings" if len(self.timed) > 1 else "one training"
        return f"{1e3 * self.rate:.3g} ms per gradient pass, as measured in {several}"


def _passes(recipe: TrainingRecipe, alpha: Mapping[str, float]) -> int:
    return recipe.steps * recipe.batch_size(alpha) * (recipe.ivon.samples if recipe.ivon else 1)


def _apart(study: Study, charges: Sequence[tuple[str, Ledger]]) -> tuple[list[Ledger], list[tuple[str, Ledger]]]:
    """The costs of single-task finetunes that are known, and the journal's charges without them."""
    others, singles = list(charges), []
    for section in study.recipe.tasks.values():
        cost = _recorded(Path(section.checkpoint))
        if cost is None:
            continue
        singles.append(cost)
        # What this run has trained itself is in its journal too.
        own = [number for number, (_, charged) in enumerate(others) if _same(charged, cost)]
        if own:
            singles[-1] = others.pop(own[0])[1]
    room = len(study.tasks) - len(singles)
    for charge in [charge for charge in others if charge[0] == SINGLE_STAGE][: max(0, room)]:
        others.remove(charge)
        singles.append(charge[1])
    return singles, others


def _same(charged: Ledger, recorded: Ledger) -> bool:
    return charged.trainings == 1 and charged.seconds == recorded.seconds > 0


def _recorded(checkpoint: Path) -> Ledger | None:
    """The cost in the manifest of a checkpoint that this package has trained."""
    try:
        costs = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["ledger"]
        cost = Ledger(**{name: costs[name] for name in asdict(Ledger()) if name in costs})
    except (OSError, ValueError, KeyError, TypeError, DataError, RecursionError):
        return None
    return cost if cost.trainings else None


def _shown(cost: Ledger, seconds: Known) -> dict[str, float | None]:
    """A row; a sum whose seconds are partly unknown has none to show."""
    return {**asdict(cost), **({"seconds": None} if seconds == "unknown" else {})}
