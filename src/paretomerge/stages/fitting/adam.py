"""`fit` of one finetune without data: from the `optimizer.pt` that its training left beside the weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Checkpoint, open_checkpoint, save_posterior
from paretomerge.errors import CheckpointError, MissingExtraError, PosteriorError
from paretomerge.posteriors import Diagonal, Provenance
from paretomerge.stages.fitting.files import name_of
from paretomerge.stages.merging.posterior_check import PosteriorSummary, describe_posterior
from paretomerge.stages.merging.posterior_inputs import PosteriorFile, require_agreement
from paretomerge.training.trainer import optimizer_posterior

SCALE = (
    "labels of a step × Adam's second moment of the gradient of its mean loss: about the empirical Fisher matrix of "
    "the mean loss of one example, plus the squared mean gradient"
)


def fit_optimizer(
    out: str | os.PathLike[str],
    base: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    optimizer: str | os.PathLike[str] | None = None,
    *,
    batch_size: float,
    clipped: bool = True,
) -> PosteriorSummary:
    """Write the posterior of a finetune whose precision is Adam's second moment; see `curvature.adam_posterior`.

    Args:
        out: the `.safetensors` file to write.
        base: the base checkpoint, whose digest goes into the file.
        checkpoint: the finetune, a folder of transformers: its model class tells the order of the parameters.
        optimizer: `optimizer.pt`, or the folder it lies in; the finetune's own when `None`.
        batch_size: labels of one step: examples of a classifier (per device × devices × accumulated batches), labelled
            tokens of a language model.
        clipped: whether gradients were clipped in training, as a Trainer does unless told otherwise: the scale of the
            precision is then not known.

    Raises:
        CheckpointError: a checkpoint or a state that cannot be read, or a model class that cannot be built.
        PosteriorError: another optimizer than Adam, or parameters in another order.
        AlignmentError: a finetune of another base.
        MissingExtraError: transformers is not installed.
        StorageError: the disk refused.
    """
    folder = Path(checkpoint)
    _require_whole(folder)
    state = optimizer or _state_of(folder)
    opened = open_checkpoint(base)
    finetune = open_checkpoint(checkpoint)
    found = optimizer_posterior(state, _build(folder), batch_size=batch_size)
    posterior = Diagonal(_mean(finetune, found), found.precision)
    said = Provenance(
        "adam",
        "trajectory",
        units="relative" if clipped else "mean",
        scale=SCALE + (", after gradient clipping, which loses the scale" if clipped else ""),
        base=opened.digest,
        base_name=name_of(opened),
        checkpoint=finetune.digest,
        settings=f"labels per step={batch_size:g}",
    )
    require_agreement((PosteriorFile("", Path(checkpoint), posterior, said),), opened)
    return describe_posterior(save_posterior(out, posterior, said))


def _require_whole(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{folder} is an adapter: load it as it was trained and call optimizer_posterior in Python, or train with "
            "PosteriorCallback('adam')"
        )


def _state_of(folder: Path) -> Path:
    """Where the finetune's `optimizer.pt` lies; a Trainer writes it into its checkpoints, not beside the final model.

    Raises:
        CheckpointError: a folder without one.
    """
    if folder.is_dir() and not (folder / "optimizer.pt").is_file():
        deeper = sorted(folder.glob("checkpoint-*/optimizer.pt"), key=lambda path: path.stat().st_mtime)
        if deeper:
            raise CheckpointError(
                f"{folder} has no optimizer.pt, but {deeper[-1].parent} has one: give --checkpoint {deeper[-1].parent}"
            )
    return folder


def _build(folder: Path) -> Any:
    """The finetune as a module, for the names and the order of its parameters."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError.of("transformers", "hf") from error
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        model_class = getattr(transformers, (config.architectures or [""])[0], None)
        if model_class is None:
            raise ValueError(f"its config.json names no model class of transformers, but {config.architectures}")
        with without_bars(transformers.utils.logging):
            return model_class.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder} cannot be loaded by transformers: {error}") from error


@contextmanager
def without_bars(logging: Any) -> Iterator[None]:
    """Without the progress bar that transformers shows for every model it loads."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _mean(finetune: Checkpoint, found: Diagonal) -> dict[str, Any]:
    """The finetune's own values of what was trained, in its own dtype."""
    missing = [name for name in found.blocks() if name not in finetune]
    if missing:
        raise PosteriorError(f"the optimizer trained {missing[0]!r}, which the checkpoint does not hold: another model")
    return {name: finetune[name] for name in found.blocks()}
