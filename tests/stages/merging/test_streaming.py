"""What a merge from disk to disk reads, in which order, and how much memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import CheckpointWriter, open_checkpoint, write_params
from paretomerge.checkpoints.files.safetensors_files import SafetensorsFile
from paretomerge.errors import InputError, PosteriorError, WeightsError
from paretomerge.merging import Averaging, ByPattern, PosteriorMerge, TaskArithmetic, WeightedSum, collect_inputs, merge
from paretomerge.posteriors import Diagonal, Isotropic
from paretomerge.stages.merging.streaming import SLACK, Budget, require_device, stream_merge
from paretomerge.types import TensorSpec, spec_of

NAMES = ("embed", "w0", "w1", "w2", "head")


def params(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(6, 5, generator=generator) for name in NAMES} | {"steps": torch.tensor(seed)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "a", "b")):
        write_params(tmp_path / name, params(seed))
    return tmp_path


class Reads(Counter):
    """How often each tensor of each folder was read, and what was read without reading ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.not_ahead: list[tuple[str, str]] = []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted = Reads()
    read = SafetensorsFile.read

    def count(self, name, buffer=None):
        counted[self.path.parent.name, name] += 1
        if buffer is None:
            counted.not_ahead.append((self.path.parent.name, name))
        return read(self, name, buffer)

    monkeypatch.setattr(SafetensorsFile, "read", count)
    return counted


def inputs_of(folder: Path, **more):
    base = open_checkpoint(folder / "base")
    tasks = {task: open_checkpoint(folder / task) for task in "ab"}
    return collect_inputs(tasks, base=base, **more)


def stream(folder: Path, inputs, weights, rule, count: int = 1, **more):
    specs = dict(inputs.specs)
    writers = [CheckpointWriter(folder / f"out{k}", specs) for k in range(count)]
    for writer in writers:
        writer.__enter__()
    try:
        stream_merge(inputs, weights, rule, writers, specs, **more)
        return [open_checkpoint(writer.commit()) for writer in writers]
    finally:
        for writer in writers:
            writer.__exit__(None, None, None)


RULES = {
    "averaging": (Averaging(), False),
    "weighted sum": (WeightedSum(), False),
    "posterior": (PosteriorMerge(), False),
    "task arithmetic": (TaskArithmetic(), True),
    "by pattern": (ByPattern((("w*", WeightedSum()),), WeightedSum()), False),
    "by pattern with the base": (ByPattern((("w*", TaskArithmetic()),), WeightedSum()), True),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", RULES)
def test_every_tensor_that_is_needed_is_read_once_and_no_other(folder: Path, reads: Reads, name, count: int) -> None:
    rule, reads_base = RULES[name]
    weights = [[0.5, 0.5]] * count
    merged = stream(folder, inputs_of(folder), weights, rule, count)
    from_inputs = {key: number for key, number in reads.items() if key[0] in ("base", "a", "b")}
    needed = {(task, tensor): 1 for task in "ab" for tensor in NAMES} | {("base", "steps"): 1}
    if reads_base:
        needed |= {("base", tensor): 1 for tensor in NAMES if tensor.startswith("w") or not isinstance(rule, ByPattern)}
    # What one rule of several needs of the base is read ahead for all of them, where there is time.
    allowed = needed | ({("base", tensor): 1 for tensor in NAMES} if reads_base else {})
    assert needed.items() <= from_inputs.items() <= allowed.items()
    assert not reads.not_ahead
    tasks = {task: {n: t for n, t in params(seed).items() if n in NAMES} for seed, task in enumerate("ab", start=1)}
    truth = merge(tasks, [0.5, 0.5], rule=rule, base=params(0))
    for opened in merged:
        assert list(opened) == [*NAMES, "steps"]
        assert all(torch.allclose(opened[tensor], truth[tensor], atol=1e-6) for tensor in truth)


def test_a_prior_and_posteriors_are_read_once_too(folder: Path, reads: Reads) -> None:
    for task in ("a", "b", "base"):
        precision = {name: tensor.abs() + 0.1 for name, tensor in params(5).items() if name in NAMES}
        write_params(folder / f"{task}-precision", precision)
    posterior = {
        name: Diagonal(open_checkpoint(folder / name), open_checkpoint(folder / f"{name}-precision"))
        for name in ("a", "b", "base")
    }
    inputs = collect_inputs({task: posterior[task] for task in "ab"}, prior=posterior["base"])
    reads.clear()
    (merged,) = stream(folder, inputs, [[0.4, 0.4]], PosteriorMerge())
    assert set(reads.values()) == {1}
    assert {holder for holder, _ in reads} == {n for task in posterior for n in (task, f"{task}-precision")}
    expected = merge({task: posterior[task] for task in "ab"}, [0.4, 0.4], prior=posterior["base"])
    assert all(torch.equal(merged[name], tensor) for name, tensor in expected.items())


def test_bad_weights_are_refused_before_a_value_is_read(folder: Path, reads: Reads) -> None:
    inputs = inputs_of(folder)
    for weights in ([[0.5, 0.6]], [[1.5, -0.5]]):
        with pytest.raises(WeightsError):
            stream(folder, inputs, weights, Averaging())
    assert not reads
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "base"]


def test_an_error_in_the_middle_of_the_merge_stops_reading_and_writing(folder: Path) -> None:
    base = Isotropic(open_checkpoint(folder / "base"), 10.0)
    inputs = collect_inputs({task: open_checkpoint(folder / task) for task in "ab"}, prior=base)
    with pytest.raises(PosteriorError, match="the merged precision is not positive"):
        stream(folder, inputs, [[1.5, 1.5]], PosteriorMerge())
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "base"]


def test_the_budget_holds_the_largest_block_of_all_inputs_and_all_outputs() -> None:
    large, small = torch.zeros(1000, dtype=torch.bfloat16), torch.zeros(10)
    views = [open_checkpoint({"large": large, "small": small}), open_checkpoint({"large": large}), {"large": large}]
    specs = {"large": TensorSpec((1000,), torch.float32), "small": spec_of({"s": small}, "s")}
    assert Budget.of(views, specs, 3) == Budget(2 * 2000 + SLACK, 3 * 4000 + SLACK)
    assert Budget.of([], {}, 1) == Budget(SLACK, SLACK)


def test_devices_are_cpu_or_cuda() -> None:
    assert require_device("cpu") == torch.device("cpu")
    assert require_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(InputError, match="unknown device 'gpu': give cpu, cuda, or cuda:0"):
        require_device("gpu")
    with pytest.raises(InputError, match="device 'meta': merging runs on cpu or cuda"):
        require_device("meta")
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(InputError, match=f"device '{missing}': PyTorch sees {torch.cuda.device_count()} CUDA devices"):
        require_device(missing)


def test_a_device_without_a_number_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert require_device("cuda").type == "cuda"
    assert require_device("cuda:0").index == 0
    with pytest.raises(InputError, match="device 'cuda:1': PyTorch sees 1 CUDA devices here"):
        require_device("cuda:1")


MEASURED = """
import json, sys, threading
from pathlib import Path
import torch
from paretomerge.stages import MergeOptions, merge_checkpoints
from paretomerge.merging import {rule}

def private():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))

torch.set_num_threads(2)
folder, most, stop = Path(sys.argv[1]), 0, threading.Event()

def sample():
    global most
    while not stop.wait(0.02):
        most = max(most, private())

before = private()
sampler = threading.Thread(target=sample)
sampler.start()
weights = [{{"a": 0.3, "b": 0.7}}, {{"a": 0.5, "b": 0.5}}][:{count}]
merge_checkpoints(folder / "out", folder / "base", {{t: folder / t for t in "ab"}}, weights, {rule}(),
                  MergeOptions(check="{check}"))
stop.set()
sampler.join()
print(json.dumps([before, most]))
"""

LARGEST = 32 << 20  # elements: 64 MB in bfloat16, 128 MB in float32


def write_large(folder: Path) -> None:
    """Three models of 512 MB in bfloat16: a few tensors of 64 MB, and many smaller ones."""
    pattern = torch.randn(1 << 16).bfloat16()
    shapes = {f"large{k}": LARGEST for k in range(3)} | {f"small{k}": 1 << 20 for k in range(160)}
    specs = {name: TensorSpec((count,), torch.bfloat16) for name, count in shapes.items()}
    for number, name in enumerate(("base", "a", "b")):
        own = pattern + number * 2**-6
        with CheckpointWriter(folder / name, specs) as writer:
            for tensor, count in shapes.items():
                writer.write(tensor, own.repeat(count >> 16))
            writer.commit()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")
def test_the_memory_of_a_merge_is_that_of_a_few_of_its_largest_tensors(tmp_path: Path) -> None:
    """`(inputs + K + 2)` times the largest tensor in float32 and 300 MB, for 1.5 GB of inputs."""
    write_large(tmp_path)
    for rule, inputs, count, check in (
        ("Averaging", 2, 1, "names"),
        ("TaskArithmetic", 3, 2, "names"),
        ("PosteriorMerge", 2, 1, "sample"),
    ):
        code = MEASURED.format(rule=rule, count=count, check=check)
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], timeout=300, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        before, most = json.loads(done.stdout)
        assert before < most < (inputs + count + 2) * 4 * LARGEST + (300 << 20), (rule, count, most >> 20)
        subprocess.run(["rm", "-r", str(tmp_path / "out")], check=True)
