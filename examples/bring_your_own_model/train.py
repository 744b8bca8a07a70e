"""Pretrains a base on all tasks for a moment, finetunes it on each, and saves state dicts. Seconds on a CPU.

python examples/bring_your_own_model/train.py DIR
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from model import TASKS, Network, load_images
from torch import Tensor, nn


def train(network: Network, images: Tensor, labels: Tensor, steps: int, seed: int) -> Network:
    """AdamW on batches of 64."""
    torch.manual_seed(seed)
    network = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(steps):
        chosen = torch.randint(len(labels), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    return network


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    data = {task: load_images(task)["training"] for task in TASKS}
    images, labels = (torch.cat(parts) for parts in zip(*data.values(), strict=True))
    base = train(Network(), images, labels, steps=100, seed=0)
    torch.save(base.state_dict(), folder / "base.pt")
    for seed, (task, (own_images, own_labels)) in enumerate(data.items(), start=1):
        torch.save(train(base, own_images, own_labels, steps=150, seed=seed).state_dict(), folder / f"{task}.pt")
    print(f"{folder}: base.pt, {', '.join(f'{task}.pt' for task in TASKS)}")


if __name__ == "__main__":
    main()
