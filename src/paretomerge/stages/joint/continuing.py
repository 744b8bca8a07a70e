"""From one joint finetune on: posteriors around it, as files, and the recipe of a run that merges them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints import Checkpoint, save_posterior
from paretomerge.checkpoints.atomic import storage_errors, write_text
from paretomerge.checkpoints.folders import MANIFEST
from paretomerge.curvature import Continuation, continue_joint
from paretomerge.errors import AlignmentError, InputError, RecipeError, StorageError
from paretomerge.posteriors import Provenance
from paretomerge.recipes import Recipe, dump_recipe, method
from paretomerge.recipes.schema import PosteriorSection
from paretomerge.stages.fitting.files import name_of, safe_name
from paretomerge.stages.joint.trained import read_manifest
from paretomerge.stages.joint.truths import open_trained
from paretomerge.stages.study import Study
from paretomerge.types import Ledger, Weights

STAGE = "continue"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Continued:
    """Posteriors around a joint finetune, on disk.

    Attributes:
        folder: of the files.
        recipe: of a run that merges them; beside them, otherwise the recipe they come from.
        weights: of the joint finetune.
        files: task → file.
        ledger: what measuring the curvature cost; not the joint training.
    """

    folder: Path
    recipe: Path
    weights: dict[str, float]
    files: dict[str, Path]
    ledger: Ledger

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "folder": str(self.folder),
            "recipe": str(self.recipe),
            "weights": self.weights,
            "files": {task: str(path) for task, path in self.files.items()},
            "gradient_passes": self.ledger.gradient_passes,
            "seconds": self.ledger.seconds,
        }


def continue_run(
    study: Study,
    joint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    weights: Mapping[str, float] | None = None,
    *,
    damping: float = 0.1,
) -> Continued:
    """Expand every task's loss at a joint finetune, and write a posterior per task and a recipe that merges them.

    Merged with the joint finetune's own weights they give it back; with others, a prediction of the joint finetune
    there, see `curvature.continue_joint`. Groups and numbers of examples are those of the recipe's subspace posterior.

    Args:
        study: the run, with a problem and all finetunes.
        joint: a checkpoint that was finetuned with all tasks.
        out: the folder to write; an earlier continuation there is replaced.
        weights: what it was finetuned with; `finetune` has noted them beside its own.
        damping: relative, as of `continue_joint`.

    Raises:
        RecipeError: a rule or a domain whose merges read no posterior, or no problem.
        InputError: weights that nobody knows, or a folder that holds something else.
        WeightsError: weights off the simplex, or of other tasks.
        AlignmentError: a checkpoint of another model, or trained from another base.
        PosteriorError, DataError: as `continue_joint`.
        StorageError: the disk refused.
    """
    folder = Path(out)
    _require_posterior_merges(study.recipe)
    problem = study.require_problem("the curvature at a joint finetune")
    files = {task: folder / f"{n}-{safe_name(task)}.safetensors" for n, task in enumerate(study.tasks)}
    _require_free(folder, [RECIPE, f"{Path(RECIPE).stem}-run", *(path.name for path in files.values())])
    trained = open_trained(study, Path(joint))
    beta = Weights.of(_weights_of(study, Path(joint)) if weights is None else weights, study.tasks)
    study.check().raise_if_bad()
    _require_same_rest(study.base, trained, {name for name, _ in problem.build().named_parameters()})
    found = continue_joint(
        problem,
        dict(study.base),
        {task: dict(finetune) for task, finetune in study.finetunes.items()},
        dict(trained),
        beta,
        damping=damping,
        split=study.recipe.posterior.split,
        **_settings(study.recipe),
    )
    with study.folder.open_journal() as journal:
        journal.charge(STAGE, found.ledger)
    return _write(study, trained, found, folder, files)


def _require_posterior_merges(recipe: Recipe) -> None:
    if recipe.rule.name != "posterior" or recipe.front.domain != "weights":
        raise RecipeError(
            f"posteriors around a joint finetune are merged by task weights, not by the rule {recipe.rule.name!r} over "
            f"{recipe.front.domain}: leave rule and front.domain out of the recipe"
        )


def _weights_of(study: Study, joint: Path) -> dict[str, float]:
    """From beside the checkpoint."""
    said = read_manifest(joint) if (joint / MANIFEST).is_file() else {}
    base, weights = said.get("base"), said.get("weights")
    if isinstance(base, dict) and base.get("digest") not in (None, study.base.digest):
        raise AlignmentError(
            f"{joint} was trained from another base ({base.get('name')}, digest {str(base['digest'])[:12]}…) than this "
            f"recipe's: task vectors would not be those of its finetunes"
        )
    if not isinstance(weights, dict):
        raise InputError(
            f"{joint} does not say with which task weights it was finetuned: give them (--weights "
            f"{','.join(f'{task}=…' for task in study.tasks)})"
        )
    return weights


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Of the recipe's subspace posterior, where it has one."""
    section = recipe.posterior
    if section.files or section.family != "subspace":
        return {}
    fit = method("posterior", section.family, section.settings)
    return {"groups": fit.groups, "examples": fit.examples, "gradient_examples": fit.gradient_examples}


def _require_free(folder: Path, ours: Sequence[str]) -> None:
    try:
        others = sorted(each.name for each in folder.iterdir() if each.name not in ours) if folder.exists() else []
    except OSError as error:
        raise StorageError(f"cannot write into {folder}: {error.strerror or error}") from error
    if others:
        raise InputError(f"{folder} holds {others[0]}, which is no continuation: choose another folder")


def _require_same_rest(base: Checkpoint, joint: Checkpoint, trainable: Set[str]) -> None:
    """What training does not move comes from the base in every merge."""
    apart = [name for name in base if name not in trainable and not torch.equal(base[name], joint[name])]
    if apart:
        more = f" and {len(apart) - 1} more" if apart[1:] else ""
        raise AlignmentError(
            f"{apart[0]!r}{more}: differs between the base and the joint finetune and is no trainable parameter "
            "(running statistics, say), so that merges would take it from the base"
        )


def _write(
    study: Study, trained: Checkpoint, found: Continuation, folder: Path, files: Mapping[str, Path]
) -> Continued:
    """The recipe last: it names what is complete."""
    weights = dict(found.weights.as_mapping())
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for task, posterior in found.posteriors.items():
        said = Provenance(
            "gauss-newton",
            "joint finetune",
            damping=float(found.strength.mean()),
            base=study.digests["base"],
            base_name=name_of(study.base),
            checkpoint=study.digests[task],
            settings=json.dumps({"joint": trained.digest, "weights": weights}),
        )
        save_posterior(files[task], posterior, said)
    section = PosteriorSection(files={task: str(path.resolve()) for task, path in files.items()})
    write_text(folder / RECIPE, dump_recipe(study.recipe.model_copy(update={"posterior": section})))
    return Continued(folder, folder / RECIPE, weights, dict(files), found.ledger)
