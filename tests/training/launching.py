"""Two processes on the CPU that know of each other, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """What all processes have in common; the address is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip


def launch(program: str, folder: Path, *words: str, **more: str) -> list[dict[str, Any]]:
    """What each of two processes saw, who run `python -m program folder` and leave it in `folder/<process>.pt`."""
    common = os.environ | environment() | more
    started = [
        subprocess.Popen(
            [sys.executable, "-m", program, str(folder), *words],
            cwd=ROOT,
            env=common | {"RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=600)[0] for process in started]
        assert not any(process.returncode for process in started), "\n".join(output[-4000:] for output in outputs)
    finally:
        for process in started:
            process.kill()
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in range(2)]
