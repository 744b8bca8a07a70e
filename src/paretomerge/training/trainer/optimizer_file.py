"""The posterior of a finished run from the `optimizer.pt` in its checkpoint."""

from __future__ import annotations

import os

from torch import nn

from paretomerge.checkpoints import read_optimizer_state
from paretomerge.curvature import adam_posterior, named_groups
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Diagonal
from paretomerge.training.trainer.parameters import bare_module, trained_parameters


def optimizer_posterior(path: str | os.PathLike[str], model: nn.Module, *, batch_size: float) -> Diagonal:
    """Adam's second moments as a posterior over what was trained, under the names of the checkpoint.

    Args:
        path: `optimizer.pt`, or the checkpoint folder it lies in.
        model: with the trained values, of the class that was trained (with its adapter, if it had one), trainable
            where it was trained then.
        batch_size: labels of one optimizer step, see `adam_posterior`.

    Raises:
        CheckpointError: no such file, or not the state of an optimizer.
        PosteriorError: another optimizer, or another model.
    """
    module = bare_module(model)
    state = read_optimizer_state(path)
    names = {id(parameter): name for name, parameter in trained_parameters(module).items()}
    groups = named_groups(module, state)
    frozen = [name for group in groups for name, tensor in group.items() if id(tensor) not in names]
    if frozen:
        raise PosteriorError(f"the optimizer trained {frozen[0]!r}, which is frozen in this model: unfreeze it")
    return adam_posterior(
        state, [{names[id(tensor)]: tensor for tensor in group.values()} for group in groups], batch_size=batch_size
    )
