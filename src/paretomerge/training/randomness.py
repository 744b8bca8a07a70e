"""Torch's random numbers in a training: seeded, kept apart from everyone else's, and saved with a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from paretomerge.training.placement import Placement


@contextmanager
def own_randomness(seed: int, placement: Placement) -> Iterator[None]:
    """Inside, torch's generators are seeded, the same in every process; afterwards they are as before."""
    with torch.random.fork_rng(**_generators(placement)):
        torch.manual_seed(seed)
        yield


@contextmanager
def untouched_randomness(placement: Placement) -> Iterator[None]:
    """What is drawn inside does not count."""
    with torch.random.fork_rng(**_generators(placement)):
        yield


def part_ways(seed: int, placement: Placement) -> None:
    """From here on processes draw different numbers, so that their dropout differs; the first goes on as it was."""
    if placement.process:
        torch.manual_seed((seed * 1009 + placement.process) * 7919 + 1)


def random_state(placement: Placement) -> dict[str, Tensor]:
    """The state of torch's generators in every process, `[processes, bytes]`."""
    found = {"cpu": placement.gather(torch.get_rng_state())}
    if placement.device.type != "cpu":
        generator = torch.get_device_module(placement.device)
        found["device"] = placement.gather(generator.get_rng_state(placement.device))
    return found


def restore_random_state(state: Mapping[str, Tensor], seed: int, step: int, placement: Placement) -> None:
    """Go on with the same numbers; with new ones where the number of processes or the kind of device is another."""
    device = state.get("device")
    if len(state["cpu"]) != placement.processes or (device is None) != (placement.device.type == "cpu"):
        torch.manual_seed((seed * 1009 + step) * 7919 + 2)
        part_ways(seed + step, placement)
        return
    torch.set_rng_state(state["cpu"][placement.process].clone())
    if device is not None:
        generator = torch.get_device_module(placement.device)
        generator.set_rng_state(device[placement.process].clone(), placement.device)


def _generators(placement: Placement) -> dict[str, Any]:
    if placement.device.type == "cpu":
        return {"devices": []}
    return {"devices": [placement.device.index or 0], "device_type": placement.device.type}
