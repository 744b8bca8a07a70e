"""Arithmetic on large tensors, tile by tile, with scratch memory that does not grow with the tensors."""

from paretomerge.arithmetic.bit_masks import BitMask
from paretomerge.arithmetic.boundaries import Boundary
from paretomerge.arithmetic.exact import exact
from paretomerge.arithmetic.extremes import extremes
from paretomerge.arithmetic.random_masks import LANES, quantised, random_key, random_lanes, random_mask
from paretomerge.arithmetic.ranks import keep_by_rank
from paretomerge.arithmetic.rounding import round_into
from paretomerge.arithmetic.selection import Wanted, find_boundaries
from paretomerge.arithmetic.sums import weighted_sum
from paretomerge.arithmetic.tiles import TILE, Combine, run_in_parallel, sweep

__all__ = [
    "LANES",
    "TILE",
    "BitMask",
    "Boundary",
    "Combine",
    "Wanted",
    "exact",
    "extremes",
    "find_boundaries",
    "keep_by_rank",
    "quantised",
    "random_key",
    "random_lanes",
    "random_mask",
    "round_into",
    "run_in_parallel",
    "sweep",
    "weighted_sum",
]
