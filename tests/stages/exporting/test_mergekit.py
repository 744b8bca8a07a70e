"""An exported configuration, run by mergekit, gives the exported checkpoint; and mergekit reads that checkpoint."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.stages.exported_studies import llama_study

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError, InputError
from paretomerge.stages import export_mergekit, export_point
from paretomerge.types import Params

PYTHON = os.environ.get("MERGEKIT_PYTHON") or (sys.executable if importlib.util.find_spec("mergekit") else None)
needs_mergekit = pytest.mark.skipif(
    PYTHON is None, reason="needs mergekit: set MERGEKIT_PYTHON to a Python that has it"
)

RULES: dict[str, Any] = {"posterior": {}, "ties": {"density": 0.4}, "task_arithmetic": {"scale": 0.8}}


def run_mergekit(*configurations: Path) -> list[dict[str, torch.Tensor]]:
    """What mergekit's own command makes of each."""
    code = (
        "import sys\nfrom mergekit.scripts.run_yaml import main\n"
        "for given in sys.argv[1:]:\n"
        "    main([given, given + '-out', '--no-copy-tokenizer', '--quiet'], standalone_mode=False)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    assert PYTHON is not None
    done = subprocess.run(
        [PYTHON, "-c", code, *map(str, configurations)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [load_file(Path(f"{given}-out") / "model.safetensors") for given in configurations]


def differing(one: Params, other: Params, relative: float) -> tuple[int, int]:
    """How many elements differ by more than rounding, and how many there are."""
    assert set(one) == set(other)
    far = total = 0
    for name, tensor in other.items():
        assert tensor.dtype == one[name].dtype
        distance = (one[name].double() - tensor.double()).abs()
        far += int((distance > relative * tensor.double().abs() + 2e-6).sum())
        total += tensor.numel()
    return far, total


@needs_mergekit
def test_mergekit_makes_the_exported_checkpoint_of_the_exported_configuration(tmp_path: Path) -> None:
    files, ours = [], []
    for rule, settings in RULES.items():
        study = llama_study(tmp_path / rule, rule={"name": rule, "settings": settings})
        files.append(export_mergekit(study, 1, tmp_path / f"{rule}.yml"))
        ours.append(open_checkpoint(export_point(study, 1, tmp_path / f"{rule}-merged")))
    again = tmp_path / "again.yml"
    half = [
        {"model": str(tmp_path / f"{rule}-merged"), "parameters": {"weight": 0.5}} for rule in ("posterior", "ties")
    ]
    again.write_text(yaml.safe_dump({"merge_method": "linear", "models": half, "dtype": "float32"}))
    *theirs, averaged = run_mergekit(*files, again)
    for mine, other in zip(ours, theirs, strict=True):
        assert differing(mine, other, 1e-6)[0] == 0
    for name, tensor in averaged.items():
        assert torch.allclose(tensor, (ours[0][name] + ours[1][name]) / 2, rtol=1e-6, atol=1e-6)


@needs_mergekit
def test_the_same_in_half_precision(tmp_path: Path) -> None:
    study = llama_study(tmp_path, torch.bfloat16, rule={"name": "ties", "settings": {"density": 0.4}})
    [theirs] = run_mergekit(export_mergekit(study, 1, tmp_path / "ties.yml"))
    ours = open_checkpoint(export_point(study, 1, tmp_path / "merged"))
    far, total = differing(ours, theirs, 2**-7)
    assert far < 0.02 * total  # equal magnitudes are common in bfloat16, and which of them are trimmed is open


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    study = llama_study(tmp_path)
    file = export_mergekit(study, 0, tmp_path / "merge.yml")
    before = file.read_text()
    with pytest.raises(CheckpointError, match="the file exists"):
        export_mergekit(study, 1, file)
    assert file.read_text() == before
    assert export_mergekit(study, 1, file, overwrite=True).read_text() != before


def test_coefficients_per_group_have_no_configuration(tmp_path: Path) -> None:
    front = {"evaluations": 12, "points": 4, "domain": "groups", "groups": "model", "metric": ""}
    study = llama_study(tmp_path, front=front)
    with pytest.raises(InputError, match="per parameter group has no mergekit configuration"):
        export_mergekit(study, 0, tmp_path / "merge.yml")
