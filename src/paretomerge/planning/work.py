"""`Work`: what a computation asks of a machine, and the seconds that it takes there.

    seconds = (f / F  +  b / B) / devices  +  n · o

with `f` floating-point operations of matrix products at `F` per second, `b` bytes that everything else reads and writes
at `B` per second, and `n` operations of which each costs `o` to start. Products and the rest are added and not
overlapped: kernels run one after the other. Williams, Waterman & Patterson, 2009, Roofline: an insightful visual
performance model for multicore architectures.
"""

from __future__ import annotations

from dataclasses import dataclass

from paretomerge.planning.machines import Machine


@dataclass(frozen=True)
class Work:
    """What a computation does.

    Args:
        flops: floating-point operations of matrix products, a multiplication and an addition counting as two.
        traffic: bytes that all other operations read and write.
        operations: how many operations are started.

    >>> 2 * Work(1e9, 1e6, 10) + Work(flops=1e9)
    Work(flops=3000000000.0, traffic=2000000.0, operations=20.0)
    """

    flops: float = 0.0
    traffic: float = 0.0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Both, one after the other."""
        return Work(self.flops + other.flops, self.traffic + other.traffic, self.operations + other.operations)

    def __mul__(self, times: float) -> Work:
        """The same so many times."""
        return Work(self.flops * times, self.traffic * times, self.operations * times)

    __rmul__ = __mul__

    def seconds(self, machine: Machine, dtype: str = "float32", devices: int = 1) -> float:
        """On so many devices of a machine that share it; what starts an operation does not get faster by sharing.

        Raises:
            InputError: nothing is known of this dtype there.
        """
        shared = self.flops / machine.flops_of(dtype) + self.traffic / machine.bandwidth
        return shared / devices + self.operations * machine.launch
