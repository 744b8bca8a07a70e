"""Arithmetic on large tensors, tile by tile, with scratch memory that does not grow with the tensors."""

from paretomerge.arithmetic.rounding import round_into
from paretomerge.arithmetic.sums import weighted_sum
from paretomerge.arithmetic.tiles import TILE, Combine, sweep

__all__ = ["TILE", "Combine", "round_into", "sweep", "weighted_sum"]
