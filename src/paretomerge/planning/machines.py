"""Machines and clusters: what they compute, hold and move per second, and what they cost.

All numbers are what programs get, not what data sheets promise. `paretomerge plan --cluster here` measures them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from paretomerge.errors import InputError, nearest

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_QUANTITY = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\s*(?P<prefix>[kMGTP]?)(?P<unit>B|FLOP)(?P<per>/s)?"
)
_TEXTS = ("name",)
_COUNTS = ("devices",)


@dataclass(frozen=True)
class Machine:
    """One machine.

    Args:
        name: for people.
        devices: what computes side by side: GPUs, or processor cores where there are none.
        flops: dtype → floating-point operations per second of large matrix products on one device.
        bandwidth: bytes per second that one device reads and writes in everything else (sums, activations, norms).
        memory: bytes of one device.
        host_memory: bytes of the machine's own memory, which all processes share.
        read, write: bytes per second of the disk that holds checkpoints.
        digest: bytes per second of one core that computes SHA-256, by which checkpoints are recognised.
        network: bytes per second from one machine to another.
        launch: seconds that starting one operation takes.
        start_up: seconds until a process has imported what a stage needs.
        price: of an hour of the whole machine, in the cluster's currency.

    Raises:
        InputError: a number that is no positive one.
    """

    name: str
    devices: int
    flops: Mapping[str, float]
    bandwidth: float
    memory: float
    host_memory: float
    read: float
    write: float
    digest: float = 1.5e9
    network: float = 1.25e9
    launch: float = 5e-6
    start_up: float = 6.0
    price: float = 0.0

    def __post_init__(self) -> None:
        """Refuse machines that cannot be."""
        if self.devices < 1:
            raise InputError(f"machine {self.name!r} has {self.devices} devices: at least 1 computes")
        if not self.flops:
            raise InputError(f"machine {self.name!r}: flops names no dtype; write  flops: {{float32: 1 TFLOP/s}}")
        numbers = {name: getattr(self, name) for name in NUMBERS} | {f"flops {k}": v for k, v in self.flops.items()}
        for name, value in numbers.items():
            least_is_zero = name in ("price", "launch", "start_up")
            if not (0 <= value < math.inf) or (value == 0 and not least_is_zero):
                raise InputError(f"machine {self.name!r}: {name} is {value}, expected a positive number")

    def flops_of(self, dtype: str) -> float:
        """Operations per second in a dtype; half precisions stand for each other.

        Raises:
            InputError: nothing is known of this dtype.
        """
        for known in (dtype, {"float16": "bfloat16", "bfloat16": "float16"}.get(dtype, ""), "float32"):
            if known in self.flops and (known != "float32" or dtype != "float64"):
                return self.flops[known]
        if dtype == "float64" and "float32" in self.flops:
            return self.flops["float32"] / 2
        raise InputError(f"machine {self.name!r}: flops says nothing of {dtype}; it knows {', '.join(self.flops)}")

    @property
    def shares_memory(self) -> bool:
        """Whether devices are processor cores, whose memory is the machine's own."""
        return self.memory >= self.host_memory

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a file of a cluster has them."""
        return {**asdict(self), "flops": dict(self.flops)}


NUMBERS = tuple(f.name for f in fields(Machine) if f.name not in (*_TEXTS, *_COUNTS, "flops"))


@dataclass(frozen=True)
class Cluster:
    """Machines of one kind.

    Args:
        machine: each of them.
        machines: how many.
        currency: of the price.
    """

    machine: Machine
    machines: int = 1
    currency: str = "USD"
    measured: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse an empty cluster."""
        if self.machines < 1:
            raise InputError(f"a cluster has at least one machine, got {self.machines}")

    @property
    def devices(self) -> int:
        """Of all machines."""
        return self.machines * self.machine.devices

    @property
    def price(self) -> float:
        """Of an hour of all machines."""
        return self.machines * self.machine.price

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a file has them."""
        return {**self.machine.as_dict(), "machines": self.machines, "currency": self.currency}

    @classmethod
    def parse(cls, content: Any, source: str = "cluster") -> Cluster:
        """From the mapping in a YAML file; `like` names an example to start from, other keys replace its values.

        Numbers are in SI units without prefix, or text with one: `80 GB`, `2 TB/s`, `60 TFLOP/s`.

        Raises:
            InputError: no mapping, an unknown key, a key that is missing, or a value that is no quantity.
        """
        if not isinstance(content, Mapping):
            raise InputError(f"{source}: expected a mapping with keys such as like, machines and price")
        given = dict(content)
        like = given.pop("like", None)
        start = {} if like is None else example_cluster(str(like)).as_dict()
        known = [f.name for f in fields(Machine)] + ["machines", "currency"]
        for key in given:
            if key not in known:
                raise InputError(
                    f"{source}: unknown key {key!r}{nearest(key, known)}; the keys are like, {', '.join(known)}"
                )
        values = {"name": source, **start, **given}
        missing = [f.name for f in fields(Machine) if f.name not in values and f.default is f.default_factory]
        if missing:
            raise InputError(
                f"{source}: {missing[0]!r} is missing; or start from an example, such as  like: {first_example()}"
            )
        rates = values["flops"]
        if not isinstance(rates, Mapping):
            raise InputError(f"{source}: flops is {rates!r}, expected a mapping such as {{float32: 1 TFLOP/s}}")
        values["flops"] = {str(dtype): quantity(rate, f"{source}: flops.{dtype}") for dtype, rate in rates.items()}
        for name in NUMBERS:
            if name in values:
                values[name] = quantity(values[name], f"{source}: {name}")
        counts = {name: _count(values.pop(name, 1), f"{source}: {name}") for name in ("devices", "machines")}
        currency = str(values.pop("currency", "USD"))
        return cls(
            Machine(devices=counts["devices"], **{**values, "name": str(values["name"])}), counts["machines"], currency
        )


def quantity(value: Any, what: str) -> float:
    """A number, or text such as `80 GB` or `2.5 TFLOP/s`.

    Raises:
        InputError: neither.

    >>> quantity("80 GB", "memory"), quantity(3, "price")
    (80000000000.0, 3.0)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(f"{what} is {value!r}, expected a number or a quantity such as '80 GB' or '2 TB/s'")
    try:
        return float(value)
    except ValueError:
        pass
    found = _QUANTITY.fullmatch(str(value).strip())
    if found is None:
        raise InputError(f"{what} is {value!r}, expected a number or a quantity such as '80 GB' or '2 TB/s'")
    return float(found["number"]) * _PREFIXES[found["prefix"]]


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{what} is {value!r}, expected a whole number")
    return value


EXAMPLES: Mapping[str, Cluster] = {
    cluster.machine.name: cluster
    for cluster in (
        Cluster(
            Machine(
                "8xh100",
                8,
                {"bfloat16": 4.0e14, "float32": 4.0e13},
                2.3e12,
                80e9,
                2e12,
                6e9,
                3e9,
                network=40e9,
                launch=8e-6,
                start_up=20,
                price=24.0,
            )
        ),
        Cluster(
            Machine(
                "8xa100",
                8,
                {"bfloat16": 1.5e14, "float32": 1.5e13},
                1.3e12,
                80e9,
                1e12,
                4e9,
                2e9,
                network=20e9,
                launch=8e-6,
                start_up=20,
                price=14.0,
            )
        ),
        Cluster(
            Machine(
                "1xl4",
                1,
                {"bfloat16": 6.0e13, "float32": 1.2e13},
                2.2e11,
                24e9,
                64e9,
                1.5e9,
                1e9,
                network=1.2e9,
                launch=8e-6,
                start_up=20,
                price=0.8,
            )
        ),
        Cluster(
            Machine("16-cores", 16, {"float32": 8e10}, 6e9, 64e9, 64e9, 1e9, 5e8, network=1.2e9, start_up=6, price=0.7)
        ),
    )
}
"""Machines to start from. GPUs: about 40 % of the data sheets' dense products and 65 % of their bandwidth (float32
without tensor cores), round numbers for the rest; prices are of the order of public lists, and to be replaced."""


def first_example() -> str:
    """A name to show."""
    return next(iter(EXAMPLES))


def example_cluster(name: str) -> Cluster:
    """The example of this name.

    Raises:
        InputError: there is none.
    """
    if name not in EXAMPLES:
        raise InputError(
            f"unknown cluster {name!r}{nearest(name, EXAMPLES)}: "
            f"give a YAML file, here, or an example ({', '.join(EXAMPLES)})"
        )
    return EXAMPLES[name]
