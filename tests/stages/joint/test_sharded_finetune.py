"""`accelerate launch --use_fsdp`: two processes that hold a part of the model each, against one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import copy_folder

pytest.importorskip("accelerate", reason="the optional extra hf is not installed")

WEIGHTS = ["--weights", "sums=0.5,signs=0.3,swaps=0.2"]


def finetune(folder: Path, *words: str, launched: bool) -> dict[str, Any]:
    """Tensors, posterior and manifest of what the command writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = ["accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2", "--num_processes", "2"]
    launch += ["--main_process_port", port, "-m"] if launched else []
    program = [*launch, "paretomerge"] if launched else ["paretomerge"]
    found = subprocess.run(
        [sys.executable, "-m", *program, "finetune", "recipe.yaml", "out", *WEIGHTS, *words],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    out = folder / "out"
    return {
        "model": load_file(out / "model.safetensors"),
        "posterior": load_file(out / "posterior.safetensors"),
        "manifest": json.loads((out / "paretomerge.json").read_text()),
        "said": found.stdout + found.stderr,
    }


@pytest.mark.slow
@pytest.mark.parametrize("start", ["base", "merged"])
def test_the_command_under_fsdp_writes_what_one_process_writes(start: str, tiny: Path, tmp_path: Path) -> None:
    words = ("--start", start, "--steps", "6")
    if start == "merged":
        words += ("--set", "check_every=2")
    sharded = finetune(copy_folder(tiny, tmp_path / "sharded"), *words, launched=True)
    alone = finetune(copy_folder(tiny, tmp_path / "alone"), *words, launched=False)
    assert sharded["manifest"]["losses"] == pytest.approx(alone["manifest"]["losses"], rel=1e-6)
    for what in ("model", "posterior"):
        assert set(sharded[what]) == set(alone[what])
        for name, tensor in alone[what].items():
            torch.testing.assert_close(sharded[what][name], tensor, rtol=1e-4, atol=1e-6)
    assert sharded["said"].count("jointly finetuned with") == 1
    # Run again, it is found and not trained again, by one process too.
    again = tmp_path / "sharded"
    shutil.rmtree(again / "out")
    assert finetune(again, *words, launched=False)["manifest"]["losses"] == sharded["manifest"]["losses"]
