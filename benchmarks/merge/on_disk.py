"""Merges from disk to disk: beside mergekit on the same configurations, and beside raw reading and writing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from benchmarks.merge.measuring import Cost, in_turns, run_command, seconds_of, summary
from torch import Tensor

from paretomerge.checkpoints import Checkpoint, open_checkpoint

METHODS = ("linear", "task_arithmetic", "ties", "dare_ties")
DENSITY = 0.2
PIECE = 1 << 24


def config_of(method: str, models: list[Path]) -> dict[str, Any]:
    """The mergekit configuration of a method: float32 inside, bfloat16 outside, equal weights."""
    base, *finetunes = models
    own = {"weight": 1 / len(finetunes), "density": DENSITY}
    return {
        "merge_method": method,
        **({} if method == "linear" else {"base_model": str(base)}),
        "dtype": "float32",
        "out_dtype": "bfloat16",
        "parameters": {"normalize": False, "lambda": 1.0},
        "models": [{"model": str(path), "parameters": dict(own)} for path in finetunes],
    }


def compare_with_mergekit(models: list[Path], folder: Path, mergekit: Path | None, repeats: int) -> dict[str, Any]:
    """Every method with both tools in turns, on one configuration each; costs, and how far the results agree."""
    found: dict[str, Any] = {"start-up": _start_up(folder, mergekit, repeats)}
    for method in METHODS:
        config = folder / f"{method}.yml"
        config.write_text(yaml.safe_dump(config_of(method, models)))
        ours, theirs = folder / f"{method}-paretomerge", folder / f"{method}-mergekit"
        actions = {"paretomerge": lambda c=config, o=ours: _merge(c, o, folder)}
        if mergekit is not None:
            actions["mergekit"] = lambda c=config, o=theirs: _mergekit(mergekit, c, o, folder)
        costs = in_turns(actions, repeats if method in METHODS[:2] else 1 + repeats // 3)
        found[method] = {name: summary(runs) for name, runs in costs.items()}
        if mergekit is not None:
            found[method]["cpu_ratio"] = round(
                found[method]["mergekit"]["cpu"] / found[method]["paretomerge"]["cpu"], 2
            )
            if not method.startswith("dare"):
                found[method]["against mergekit"] = _agreement(open_checkpoint(ours), open_checkpoint(theirs))
        if method in ("linear", "task_arithmetic"):
            found[method]["against float64"] = _against_float64(method, models, ours)
        print(method, found[method], flush=True)
    return found


def end_to_end(models: list[Path], folder: Path, repeats: int) -> dict[str, Any]:
    """An average of the finetunes beside reading and writing the same bytes, from the page cache to the disk."""
    finetunes = models[1:]
    files = [file for path in finetunes for file in sorted(path.glob("*.safetensors"))]
    written = sum(file.stat().st_size for file in sorted(models[0].glob("*.safetensors")))
    config = folder / "linear.yml"
    config.write_text(yaml.safe_dump(config_of("linear", models)))
    from paretomerge.stages import merge_mergekit

    out = folder / "end-to-end"

    def merge() -> Cost:
        shutil.rmtree(out, ignore_errors=True)  # before the clock starts: what is timed writes a new folder
        return Cost(seconds_of(lambda: merge_mergekit(out, config)), 0.0, 0)

    def raw() -> Cost:
        (folder / "raw").unlink(missing_ok=True)
        return Cost(seconds_of(lambda: _raw(files, written, folder / "raw")), 0.0, 0)

    merge()
    raw()
    costs = in_turns({"raw": raw, "merge": merge}, repeats)
    walls = {name: float(np.median([cost.wall for cost in runs])) for name, runs in costs.items()}
    return {
        "bytes_read": sum(file.stat().st_size for file in files),
        "bytes_written": written,
        "raw_seconds": round(walls["raw"], 3),
        "merge_seconds": round(walls["merge"], 3),
        "fraction_of_raw": round(walls["raw"] / walls["merge"], 3),
    }


def large_merge(models: list[Path], folder: Path) -> dict[str, Any]:
    """Task arithmetic of large checkpoints in a process of its own, and the memory it may take."""
    base, *finetunes = models
    opened = open_checkpoint(base)
    largest = max(opened.spec(name).numel for name in opened)
    bound = (len(models) + 1 + 2) * largest * 4 + 300_000_000
    tasks = [text for t, path in enumerate(finetunes) for text in ("--task", f"t{t}={path}")]
    weights = ",".join(f"t{t}={1 / len(finetunes)}" for t in range(len(finetunes)))
    out = folder / "large"
    command = [*_paretomerge(), "merge", str(out), "--base", str(base), *tasks, "--weights", weights]
    cost = run_command([*command, "--rule", "task_arithmetic", "--overwrite"], folder)
    shutil.rmtree(out)
    read = sum(file.stat().st_size for path in models for file in path.glob("*.safetensors"))
    return {
        "bytes_read": read,
        "wall": round(cost.wall, 2),
        "cpu": round(cost.cpu, 2),
        "private_mb": round(cost.private / 1e6),
        "bound_mb": round(bound / 1e6),
    }


def _start_up(folder: Path, mergekit: Path | None, repeats: int) -> dict[str, Any]:
    ours = [sys.executable, "-c", "from paretomerge.stages import merge_mergekit"]
    actions = {"paretomerge": lambda: run_command(ours, folder)}
    if mergekit is not None:
        actions["mergekit"] = lambda: run_command(
            [str(mergekit.parent / "python"), "-c", "import mergekit.scripts.run_yaml"], folder
        )
    return {name: summary(runs) for name, runs in in_turns(actions, repeats).items()}


def _merge(config: Path, out: Path, folder: Path) -> Cost:
    return run_command([*_paretomerge(), "merge", str(out), "--mergekit", str(config), "--overwrite"], folder)


def _mergekit(command: Path, config: Path, out: Path, folder: Path) -> Cost:
    shutil.rmtree(out, ignore_errors=True)
    return run_command(
        [str(command), str(config), str(out), "--no-copy-tokenizer", "--random-seed", "0", "--quiet"], folder
    )


def _paretomerge() -> list[str]:
    return [sys.executable, "-c", "from paretomerge.cli.app import main; main()"]


def _raw(files: list[Path], written: int, target: Path) -> None:
    buffer = memoryview(bytearray(PIECE))
    for file in files:
        with file.open("rb", buffering=0) as handle:
            while handle.readinto(buffer):
                pass
    with target.open("wb", buffering=0) as handle:
        left = written
        while left:
            left -= handle.write(buffer[: min(left, PIECE)])
        os.fsync(handle.fileno())


def _against_float64(method: str, models: list[Path], out: Path) -> dict[str, float]:
    """Beside the float64 result, correctly rounded to bfloat16 by numpy's integers, tensor by tensor."""
    base, *finetunes = (open_checkpoint(path) for path in models)
    merged, weight = open_checkpoint(out), 1 / len(finetunes)

    def reference(name: str) -> Tensor:
        values = [tune[name].double() for tune in finetunes]
        if method == "linear":
            return _rounded(sum(weight * value for value in values))  # type: ignore[arg-type]
        start = base[name].double()
        return _rounded(start + sum(weight * (value - start) for value in values))  # type: ignore[operator]

    return _compare((merged[name], reference(name)) for name in merged)


def _agreement(ours: Checkpoint, theirs: Checkpoint) -> dict[str, float]:
    return _compare((ours[name], theirs[name]) for name in ours)


def _compare(pairs: Any) -> dict[str, float]:
    """Share of equal numbers, and the largest difference in units in the last place."""
    total = equal = 0
    furthest = 0
    for one, other in pairs:
        steps = (_ordered(one) - _ordered(other)).abs()
        total += steps.numel()
        equal += int((steps == 0).sum())
        furthest = max(furthest, int(steps.max()))
    return {"elements": total, "different": total - equal, "largest_difference_ulp": furthest}


def _ordered(values: Tensor) -> Tensor:
    """bfloat16 bit patterns as integers in the order of the numbers, zero and minus zero alike."""
    bits = values.contiguous().view(torch.int16).to(torch.int32)
    return torch.where(bits < 0, -(bits & 0x7FFF), bits)


def _rounded(values: Tensor) -> Tensor:
    """float64 to bfloat16, to nearest, ties to even, in one rounding: on the bits, as integers."""
    bits = values.numpy().view(np.int64)
    # bfloat16 keeps 7 of the 52 bits of the fraction; numbers here are far from the limits of its exponent
    half, rest = np.int64(1) << 44, bits & ((np.int64(1) << 45) - 1)
    kept = bits - rest
    up = (rest > half) | ((rest == half) & ((kept >> 45) & 1 == 1))
    return torch.from_numpy((kept + up.astype(np.int64) * (np.int64(1) << 45)).view(np.float64)).bfloat16()
