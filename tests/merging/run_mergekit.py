"""Run by an interpreter that has mergekit: its own functions on tensors from a file.

python run_mergekit.py IN.pt OUT.pt      IN: name → (function, tensors, settings), OUT: name → tensor
"""

import sys

import torch
from mergekit.merge_methods.generalized_task_arithmetic import get_mask
from mergekit.merge_methods.slerp import slerp
from mergekit.sparsify import RescaleNorm, bernoulli, della_magprune, magnitude, magnitude_outliers


def elected(deltas, weights):
    """As `merge_group` combines task vectors, averaged: the body of it, for a base of zeros."""
    deltas = deltas * weights[:, None]
    mask = get_mask(deltas, method="sum", mask_dtype=deltas.dtype)
    divisor = (weights[:, None] * mask).sum(dim=0)
    divisor[divisor == 0] = 1
    return torch.stack([(deltas * mask).sum(dim=0), (deltas * mask).sum(dim=0) / divisor])


def frequencies(function, tensor, repeats, rescale, **settings):
    """How often each entry is kept, and its mean after rescaling."""
    norm = RescaleNorm.l1 if rescale else None
    drawn = torch.stack([function(tensor, rescale_norm=norm, **settings) for _ in range(repeats)])
    return torch.stack([(drawn != 0).double().mean(0), drawn.double().mean(0)])


FUNCTIONS = {
    "magnitude": magnitude,
    "magnitude_outliers": magnitude_outliers,
    "elected": elected,
    "slerp": lambda one, other, t: slerp(torch.tensor([t]), one[None], other[None])[0],
    "bernoulli": lambda tensor, **settings: frequencies(bernoulli, tensor, **settings),
    "della": lambda tensor, **settings: frequencies(della_magprune, tensor, **settings),
}

torch.set_num_threads(1)
torch.manual_seed(0)
jobs = torch.load(sys.argv[1], weights_only=True)
torch.save(
    {name: FUNCTIONS[function](*tensors, **kept) for name, (function, tensors, kept) in jobs.items()}, sys.argv[2]
)
