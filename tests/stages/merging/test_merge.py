"""Merging from disk to disk: the same as in memory, or nothing at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import TASKS, files_below

from paretomerge.arithmetic import round_into
from paretomerge.checkpoints import (
    MANIFEST,
    CheckpointWriter,
    Rename,
    Repairs,
    open_checkpoint,
    save_posterior,
    write_params,
)
from paretomerge.errors import AlignmentError, CheckpointError, InputError, StorageError, WeightsError
from paretomerge.merging import Averaging, PosteriorMerge, TaskArithmetic, Ties, WeightedSum, merge
from paretomerge.posteriors import Diagonal, Isotropic, Product, Subspace, task_vector_basis
from paretomerge.stages import MergeOptions, merge_checkpoints
from paretomerge.types import Params, PatternWeights

SHAPES = {"embed.weight": (11, 4), "layers.0.w": (4, 4), "layers.0.b": (4,), "layers.1.w": (4, 4), "scale": ()}
WEIGHTS = {"a": 0.3, "b": 0.7}
AVERAGING, OPTIONS = Averaging(), MergeOptions()
RULES = (Averaging(), TaskArithmetic(0.8), WeightedSum(), PosteriorMerge(), Ties(density=0.5))


def random_params(seed: int, dtype: torch.dtype = torch.float32, near: Params | None = None) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in SHAPES.items():
        drawn = torch.randn(shape, generator=generator)
        found[name] = (drawn if near is None else near[name].float() + 0.05 * drawn).to(dtype)
    return {**found, "steps": torch.tensor(seed)}


def write_models(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A base and two finetunes `a` and `b`, in several shards, with a configuration."""
    side = folder / "side"
    side.mkdir(parents=True)
    (side / "config.json").write_text(json.dumps({"model_type": "tiny", "dtype": "float32"}))
    base = random_params(0, dtype)
    write_params(folder / "base", base, side_files=[side / "config.json"], max_shard_bytes=100)
    for number, task in enumerate("ab", start=1):
        write_params(folder / task, random_params(number, dtype, near=base), max_shard_bytes=100)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models")


def read(folder: Path) -> dict[str, torch.Tensor]:
    opened = open_checkpoint(folder)
    return {name: opened[name] for name in opened}


def tasks_of(models: Path) -> dict[str, Path]:
    return {task: models / task for task in "ab"}


def in_memory(models: Path, weights: object, rule: object, **settings: object):
    tasks = {task: {name: t for name, t in read(models / task).items() if name != "steps"} for task in "ab"}
    return merge(tasks, weights, rule=rule, base=read(models / "base"), **settings)


def equal(one: Params, other: Params) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in other
    )


def run(models: Path, weights=WEIGHTS, rule=AVERAGING, options=OPTIONS, out="out", **more):
    return merge_checkpoints(models / out, models / "base", tasks_of(models), weights, rule, options, **more)


def refused(models: Path, error: type[Exception], match: str, **given: object) -> None:
    before = files_below(models)
    with pytest.raises(error, match=match):
        run(models, **given)
    assert files_below(models) == before, "something was left"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_what_is_written_is_what_is_merged_in_memory(tmp_path: Path, rule, dtype) -> None:
    models = write_models(tmp_path / "models", dtype)
    summary = run(models, rule=rule)
    expected = in_memory(models, WEIGHTS, rule)
    assert equal(read(models / "out"), expected)
    assert summary.paths == (str(models / "out"),)
    assert summary.weights == (WEIGHTS,)
    assert (summary.tensors, summary.parameters) == (6, 44 + 16 + 4 + 16 + 1 + 1)
    assert summary.rule == repr(rule)
    assert dict(summary.counts) == {}
    assert summary.seconds > 0


@pytest.mark.parametrize("rule", [Averaging(), PosteriorMerge()], ids=repr)
@pytest.mark.parametrize("given", ["bfloat16", "float16", "float32", "float64"])
def test_another_dtype_is_rounded_into_once(models: Path, given: str, rule) -> None:
    run(models, rule=rule, options=MergeOptions(dtype=given, accumulate="float64"))
    written, dtype = read(models / "out"), getattr(torch, given)
    wide = {name: t.double() if t.is_floating_point() else t for name, t in read(models / "base").items()}
    tasks = {task: {n: t for n, t in read(models / task).items() if n != "steps"} for task in "ab"}
    exact = merge(tasks, WEIGHTS, rule=rule, base=wide, accumulate=torch.float64)

    for name, tensor in exact.items():
        expected = torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        round_into(expected, tensor)
        assert torch.equal(written[name], expected)
    assert json.loads((models / "out" / "config.json").read_text())["dtype"] == given


@pytest.mark.parametrize("rule", [Averaging(), TaskArithmetic(), PosteriorMerge(), Ties()], ids=repr)
def test_several_weightings_in_one_sweep_are_several_merges(models: Path, rule) -> None:
    many = [WEIGHTS, {"b": 0.0, "a": 1.0}, {"a": 0.5, "b": 0.5}]
    summary = run(models, many, rule)
    assert summary.paths == tuple(str(models / "out" / str(k)) for k in (1, 2, 3))
    assert summary.weights == tuple(many)
    assert sorted(os.listdir(models / "out")) == ["1", "2", "3"]
    for k, weights in enumerate(many, start=1):
        found, alone = read(models / "out" / str(k)), in_memory(models, weights, rule)
        for name, tensor in alone.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6)
        manifest = json.loads((models / "out" / str(k) / MANIFEST).read_text())
        assert manifest["weights"] == weights
        assert (models / "out" / str(k) / "config.json").exists()
    # a list of one is one merge
    assert run(models, [WEIGHTS], rule, out="single").paths == (str(models / "single"),)


def test_several_merges_appear_together_or_not_at_all(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first alone would stand in the way of the same command."""
    many = [WEIGHTS, {"a": 0.5, "b": 0.5}]
    commit, committed = CheckpointWriter.commit, []

    def refuse_the_second(self: CheckpointWriter, manifest: Any = None) -> Path:
        if committed:
            raise StorageError(f"cannot write {self.target}: the disk is full")
        committed.append(self.target)
        return commit(self, manifest)

    before = files_below(models)
    monkeypatch.setattr(CheckpointWriter, "commit", refuse_the_second)
    with pytest.raises(StorageError, match=re.escape(f"cannot write {models / 'out' / '2'}: the disk is full")):
        run(models, many)
    assert files_below(models) == before
    monkeypatch.undo()
    run(models, many)
    # A folder with something else in it is the user's: the merges are put beside it, one by one.
    (models / "mine").mkdir()
    (models / "mine" / "notes.txt").write_text("mine")
    run(models, many, out="mine")
    assert sorted(os.listdir(models / "mine")) == ["1", "2", "notes.txt"]


def test_the_manifest_says_how_it_was_made(models: Path) -> None:
    run(models, rule=TaskArithmetic(0.8), weights_for={"layers.*": {"b": 1.0, "a": 0.0}})
    manifest = json.loads((models / "out" / MANIFEST).read_text())
    assert manifest["kind"] == "merged checkpoint"
    assert manifest["weights"] == WEIGHTS
    assert manifest["weights_for"] == {"layers.*": {"b": 1.0, "a": 0.0}}
    assert manifest["rule"] == repr(TaskArithmetic(0.8))
    assert manifest["sources"] == {name: str(models / name) for name in ("base", "a", "b")}
    assert "weights_for" not in json.loads((Path(run(models, out="plain").paths[0]) / MANIFEST).read_text())


def test_tensors_may_have_weights_of_their_own(models: Path) -> None:
    own = {"layers.0.*": {"a": 1.0, "b": 0.0}, "layers.*": {"a": 0.5, "b": 0.5}}
    run(models, weights_for=own)
    rows = {pattern: [weights["a"], weights["b"]] for pattern, weights in own.items()}
    assert equal(read(models / "out"), in_memory(models, PatternWeights([0.3, 0.7], rows), Averaging()))
    run(models, [WEIGHTS, {"a": 1.0, "b": 0.0}], weights_for=own, out="many")
    for k, row in enumerate(([0.3, 0.7], [1.0, 0.0]), start=1):
        alone = in_memory(models, PatternWeights(row, rows), Averaging())
        found = read(models / "many" / str(k))
        assert all(torch.allclose(found[name], tensor, rtol=1e-6) for name, tensor in alone.items())


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"weights": {"a": 0.5}}, WeightsError, "no weight for task 'b'"),
        ({"weights": {"a": 0.5, "b": 0.5, "c": 0}}, WeightsError, "unknown task 'c'"),
        ({"weights": {"a": 2.0, "b": 0.5}}, WeightsError, r"weights sum to 2\.5"),
        ({"weights": {"a": 1.5, "b": -0.5}}, WeightsError, "weights are negative"),
        ({"weights": {"a": float("inf"), "b": 0}}, WeightsError, "NaN or infinity"),
        ({"weights": [WEIGHTS, {"a": 2.0, "b": 0.5}]}, WeightsError, r"weights sum to 2\.5"),
        ({"weights": []}, InputError, "no weights: give at least one weighting"),
        ({"weights_for": {"layers.*": {"a": 1.0}}}, WeightsError, "no weight for task 'b'"),
        (
            {"weights_for": {"layer.*": {"a": 1.0, "b": 0.0}}},
            WeightsError,
            "no block of this merge is left for the pat",
        ),
        ({"weights_for": {"steps": {"a": 1.0, "b": 0.0}}}, WeightsError, "no block of this merge is left for the pat"),
    ],
)
def test_bad_weights_are_refused_and_nothing_is_written(models: Path, given, error, message: str) -> None:
    refused(models, error, message, **given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float8"}, "unknown dtype 'float8': one of float16, bfloat16, float32, float64"),
        ({"accumulate": "float16"}, "unknown accumulate 'float16': one of float32, float64"),
        ({"check": "all"}, "unknown check 'all': one of sample, full, names"),
        ({"device": "tpu:0"}, "device 'tpu:0'"),
        ({"device": "mps"}, "device 'mps': merging runs on cpu or cuda"),
        ({"device": "cuda:99"}, "device 'cuda:99': PyTorch sees .* CUDA devices here"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(settings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MergeOptions(**settings)


def test_bad_weights_are_refused_before_a_folder_is_made(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def enter(writer: object) -> None:
        raise AssertionError("a folder was made")

    monkeypatch.setattr(CheckpointWriter, "__enter__", enter)
    refused(models, WeightsError, "weights are negative", weights={"a": 1.5, "b": -0.5})


def test_there_must_be_something_to_merge(models: Path) -> None:
    with pytest.raises(InputError, match="no finetunes: give at least one --task name=DIR"):
        merge_checkpoints(models / "out", models / "base", {}, {})


def test_a_study_s_models_merge(own: Path) -> None:
    weights = {"sums": 0.5, "signs": 0.5}
    summary = merge_checkpoints(own / "merged", own / "base", {t: own / f"ft-{t}" for t in weights}, weights)
    assert (summary.tensors, summary.parameters, summary.weights) == (4, 51, (weights,))
    tasks = {task: read(own / f"ft-{task}") for task in TASKS[:2]}
    assert equal(read(own / "merged"), merge(tasks, weights))


def posteriors_of(models: Path, family: str):
    names = [name for name in SHAPES if name != "scale"]
    tasks = {task: {name: read(models / task)[name] for name in names} for task in "ab"}
    origin = {name: read(models / "base")[name] for name in names}
    if family == "diagonal":
        return {t: Diagonal(p, {n: x.square() + 0.01 for n, x in p.items()}) for t, p in tasks.items()}
    if family == "isotropic":
        return {"a": Isotropic(tasks["a"], 1.0), "b": Isotropic(tasks["b"], 3.0)}
    if family == "product":
        head = [name for name in names if name.startswith("embed")]
        return {
            task: Product(
                {
                    "head": Isotropic({name: params[name] for name in head}, 2.0),
                    "rest": Diagonal(*({n: x.abs() + k for n, x in params.items() if n not in head} for k in (0, 1))),
                }
            )
            for task, params in tasks.items()
        }
    basis = task_vector_basis(origin, tasks, "layer")
    eye = torch.eye(len(basis), dtype=torch.float64)
    return {t: Subspace(origin, basis, (k + 1) * eye, (k + 1) * basis.corner(t)) for k, t in enumerate("ab")}


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("family", ["isotropic", "diagonal", "subspace", "product"])
def test_files_of_posteriors_merge_as_posteriors_do(models: Path, family: str, many: bool) -> None:
    posteriors = posteriors_of(models, family)
    files = {task: save_posterior(models / f"{task}.safetensors", p) for task, p in posteriors.items()}
    weights = [WEIGHTS, {"a": 0.5, "b": 0.5}] if many else WEIGHTS
    summary = merge_checkpoints(models / "out", models / "base", files, weights)
    expected = merge(posteriors, [[w["a"], w["b"]] for w in ([WEIGHTS] if not many else weights)],
                     base=read(models / "base"))  # fmt: skip
    for path, merged in zip(summary.paths, expected, strict=True):
        found = read(Path(path))
        assert list(found) == [*SHAPES, "steps"]
        for name, tensor in merged.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7)
        assert torch.equal(found["scale"], read(models / "base")["scale"])
        assert (Path(path) / "config.json").exists()


def test_elements_without_precision_are_counted_in_the_summary(models: Path) -> None:
    files = {}
    for task, posterior in posteriors_of(models, "diagonal").items():
        precision = dict(posterior.precision)
        precision["layers.0.b"] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        files[task] = save_posterior(models / f"{task}.safetensors", Diagonal(posterior.mean, precision))
    summary = merge_checkpoints(models / "out", models / "base", files, WEIGHTS)
    assert dict(summary.counts) == {"elements without precision": 2}


def test_posteriors_and_checkpoints_do_not_mix(models: Path) -> None:
    file = save_posterior(models / "p.safetensors", posteriors_of(models, "diagonal")["a"])
    before = files_below(models)
    with pytest.raises(InputError, match="'b' is a checkpoint and 'a' a posterior: give posterior files for all tasks"):
        merge_checkpoints(models / "out", models / "base", {"a": file, "b": models / "b"}, WEIGHTS)
    with pytest.raises(InputError, match="posterior files cannot be renamed or cut"):
        merge_checkpoints(models / "out", models / "base", {"a": file}, {"a": 1.0}, repairs=Repairs(skip=("scale",)))
    assert files_below(models) == before


def test_private_tensors_are_written_per_task(models: Path) -> None:
    for number, task in enumerate("ab"):
        params = {**read(models / task), "head.w": torch.full((2 + number, 4), float(number)), "head.b": torch.ones(2)}
        write_params(models / task, params, overwrite=True)
    summary = run(models, [WEIGHTS, {"a": 1.0, "b": 0.0}], repairs=Repairs(private=("head.*",)))
    for path in summary.paths:
        assert sorted(os.listdir(Path(path) / "private")) == ["a.safetensors", "b.safetensors"]
        for number, task in enumerate("ab"):
            own = load_file(Path(path) / "private" / f"{task}.safetensors")
            assert sorted(own) == ["head.b", "head.w"]
            assert torch.equal(own["head.w"], torch.full((2 + number, 4), float(number)))
        files = json.loads((Path(path) / MANIFEST).read_text())["files"]
        assert {"private/a.safetensors", "private/b.safetensors"} < set(files)
        assert "head.w" not in read(Path(path))
    assert summary.tensors == 6


@pytest.mark.parametrize("name", ["a/b", "..", "../../x", "back\\slash"])
def test_a_task_whose_name_is_no_file_name_has_no_private_tensors(models: Path, name: str) -> None:
    write_params(models / "a", {**read(models / "a"), "head": torch.ones(2)}, overwrite=True)
    before = files_below(models)
    tasks, weights = {name: models / "a", "b": models / "b"}, {name: 0.5, "b": 0.5}
    repairs = Repairs(private=("head",))
    with pytest.raises(InputError, match="cannot be a file name, and its private tensors are written to"):
        merge_checkpoints(models / "out", models / "base", tasks, weights, Averaging(), repairs=repairs)
    assert files_below(models) == before
    merge_checkpoints(models / "out", models / "base", tasks, weights, repairs=Repairs(skip=("head",)))


def test_repairs_are_made_before_the_merge(models: Path) -> None:
    params = {name.removeprefix("layers."): tensor for name, tensor in read(models / "b").items()}
    write_params(models / "b", params, overwrite=True)
    rename = (Rename("b", "0.", "layers.0."), Rename("b", "1.", "layers.1."))
    refused(models, AlignmentError, "do not fit")
    run(models, repairs=Repairs(rename=rename, skip=("scale",)))
    found = read(models / "out")
    assert torch.equal(found["scale"], read(models / "base")["scale"])
    expected = 0.3 * read(models / "a")["layers.1.w"] + 0.7 * params["1.w"]
    assert torch.allclose(found["layers.1.w"], expected)


@pytest.mark.parametrize("check", ["sample", "full", "names"])
def test_the_check_before_the_merge_reads_as_much_as_it_is_told(models: Path, check: str) -> None:
    """An unrelated finetune is seen when values are read, a missing tensor in any case."""
    write_params(models / "b", random_params(99), overwrite=True)
    options = MergeOptions(check=check)
    if check == "names":
        assert run(models, options=options).warnings == ()
    else:
        refused(models, AlignmentError, "probably it was not finetuned from this base", options=options)
        run(models, options=MergeOptions(check=check, max_distance=10.0))
    shutil.rmtree(models / "out")
    write_params(models / "b", {"scale": torch.tensor(1.0)}, overwrite=True)
    refused(models, AlignmentError, "lacks", options=options)


def test_warnings_of_the_check_are_in_the_summary(models: Path) -> None:
    write_params(models / "b", {**read(models / "base")}, overwrite=True)
    (warning,) = [w for w in run(models, options=MergeOptions(check="full")).warnings if "equal to the base" in w]
    assert warning.startswith("warning: b: ")


def test_a_finetune_that_is_not_finite_is_refused_at_the_latest_when_it_is_written(models: Path) -> None:
    params = read(models / "b")
    params["layers.1.w"][2, 2] = torch.nan
    write_params(models / "b", params, overwrite=True)
    refused(models, CheckpointError, r"the merged 'layers\.1\.w' has NaN", options=MergeOptions(check="names"))
    refused(models, AlignmentError, "NaN", options=MergeOptions(check="full"))


def test_what_float16_cannot_hold_is_refused(models: Path) -> None:
    for task in "ab":
        large = {name: t * 1e6 if t.is_floating_point() else t for name, t in read(models / task).items()}
        write_params(models / task, large, overwrite=True)
    options = MergeOptions(dtype="float16", check="names")
    refused(models, CheckpointError, "holds values above 65504, more than float16 can hold", options=options)


def touch(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        last = handle.read(1)
        handle.seek(-1, os.SEEK_END)
        handle.write(bytes([last[0] ^ 1]))


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("change", [touch, rewrite, Path.unlink])
@pytest.mark.parametrize("whose", ["base", "a", "b"])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("when", ["first", "last"])
def test_a_source_that_changes_in_the_middle_is_an_error_and_nothing_is_left(
    models: Path, change, whose: str, many: bool, when: str
) -> None:
    file = sorted((models / whose).glob("*.safetensors"))[0]
    weights = [WEIGHTS, {"a": 1.0, "b": 0.0}] if many else WEIGHTS
    calls = []

    def advance(done: int, total: int) -> None:
        calls.append((done, total))
        if (len(calls) == 1) if when == "first" else (done == total):
            change(file)

    before = files_below(models)
    with pytest.raises(StorageError, match=r"was replaced since it was opened|No such file"):
        run(models, weights, advance=advance)
    assert files_below(models) - {str(file.relative_to(models))} == before - {str(file.relative_to(models))}


def test_a_posterior_that_changes_in_the_middle_is_an_error_too(models: Path) -> None:
    posteriors = posteriors_of(models, "diagonal")
    files = {task: save_posterior(models / f"{task}.safetensors", p) for task, p in posteriors.items()}
    before = files_below(models)

    def advance(done: int, total: int) -> None:
        if done == total:
            touch(files["a"])

    with pytest.raises(StorageError, match="was replaced since it was opened"):
        merge_checkpoints(models / "out", models / "base", files, WEIGHTS, advance=advance)
    assert files_below(models) == before


def test_progress_counts_the_bytes_of_one_model_to_the_end(models: Path) -> None:
    calls: list[tuple[int, int]] = []
    run(models, [WEIGHTS, WEIGHTS], advance=lambda done, total: calls.append((done, total)))
    sizes = [4 * 44, 64, 16, 64, 4, 8]
    assert [total for _, total in calls] == [sum(sizes)] * 6
    done = [0, *(d for d, _ in calls)]
    assert sorted(after - before for before, after in pairwise(done)) == sorted(sizes)


@pytest.mark.parametrize("problem", ["truncated", "header", "missing"])
def test_a_shard_that_cannot_be_read_is_refused(models: Path, problem: str) -> None:
    file = sorted((models / "b").glob("*.safetensors"))[1]
    if problem == "truncated":
        os.truncate(file, file.stat().st_size - 3)
    elif problem == "header":
        file.write_bytes(b"\0" * file.stat().st_size)
    else:
        file.unlink()
    refused(models, CheckpointError, str(file.name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads anything")
def test_a_shard_without_permission_is_said_so(models: Path) -> None:
    file = sorted((models / "b").glob("*.safetensors"))[1]
    file.chmod(0)
    refused(models, StorageError, "Permission denied")


@pytest.mark.parametrize("many", [1, 3])
def test_too_little_room_is_said_before_anything_is_read_ahead(models: Path, monkeypatch, many: int) -> None:
    """For all models together, private tensors included."""
    write_params(models / "a", {**read(models / "a"), "head": torch.ones(1000)}, overwrite=True)
    given = {"weights": [WEIGHTS] * many, "repairs": Repairs(private=("head",))}
    sample = Path(run(models, [WEIGHTS], out="sample", repairs=Repairs(private=("head",))).paths[0])
    size = sum(file.stat().st_size for file in sample.rglob("*") if file.is_file())
    calls = []
    monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path: many * (size - 2500))
    refused(
        models, StorageError, "are needed, .* are free: make room", advance=lambda *bytes: calls.append(bytes), **given
    )
    assert not calls
    monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path: many * size)
    run(models, **given)


FULL = """
import resource, signal, sys
from pathlib import Path
from paretomerge.errors import StorageError
from paretomerge.stages import merge_checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
models = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
weights = {"a": 0.3, "b": 0.7}
try:
    merge_checkpoints(models / "out", models / "base", {t: models / t for t in "ab"}, [weights, weights])
except StorageError as error:
    print(error)
    sys.exit(7)
"""


def test_a_disk_that_is_full_in_the_middle_leaves_nothing(models: Path) -> None:
    before = files_below(models)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(models)], timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert f"cannot write {models / 'out' / '1'}: File too large" in done.stdout
    assert files_below(models) == before
    assert "Traceback" not in done.stderr


KILLED = """
import os, signal, sys
from pathlib import Path
from paretomerge.stages import merge_checkpoints
models, stop = Path(sys.argv[1]), sys.argv[2] == "killed"

def advance(done, total):
    if stop and done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

merge_checkpoints(models / "out", models / "base", {t: models / t for t in "ab"}, {"a": 0.3, "b": 0.7}, advance=advance)
"""


def test_a_merge_that_was_killed_is_run_again_and_what_it_left_is_gone(models: Path) -> None:
    before = files_below(models)

    def start(how: str) -> int:
        return subprocess.run([sys.executable, "-c", KILLED, str(models), how], timeout=60, check=False).returncode

    assert start("killed") == -9
    left = files_below(models) - before
    assert any(".partial" in name for name in left)
    assert not (models / "out").exists()
    assert start("again") == 0
    assert not any(".partial" in name for name in files_below(models))
    assert equal(read(models / "out"), in_memory(models, WEIGHTS, PosteriorMerge()))


def test_an_interrupt_leaves_nothing(models: Path) -> None:
    def advance(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = files_below(models)
    for weights in (WEIGHTS, [WEIGHTS, WEIGHTS]):
        with pytest.raises(KeyboardInterrupt):
            run(models, weights, advance=advance)
        assert files_below(models) == before
        assert not (models / "out").exists()


def test_an_existing_checkpoint_is_replaced_only_on_request_and_may_be_an_input(models: Path) -> None:
    run(models)
    refused(models, CheckpointError, "choose another folder, or ask to overwrite it")
    other = {"a": 1.0, "b": 0.0}
    run(models, other, options=MergeOptions(overwrite=True))
    assert torch.equal(read(models / "out")["layers.0.w"], read(models / "a")["layers.0.w"])
    expected = in_memory(models, WEIGHTS, Averaging())
    run(models, out="a", options=MergeOptions(overwrite=True))
    assert equal(read(models / "a"), expected)


def test_weight_files_have_at_most_the_size_that_is_asked_for(models: Path) -> None:
    run(models, options=MergeOptions(max_shard_bytes=200))
    files = list((models / "out").glob("*.safetensors"))
    assert len(files) > 1
    assert equal(read(models / "out"), in_memory(models, WEIGHTS, Averaging()))


def test_models_in_memory_merge_to_disk(models: Path) -> None:
    tasks = {task: read(models / task) for task in "ab"}
    summary = merge_checkpoints(models / "out", read(models / "base"), tasks, WEIGHTS, Averaging())
    assert equal(read(models / "out"), in_memory(models, WEIGHTS, Averaging()))
    manifest = json.loads((Path(summary.paths[0]) / MANIFEST).read_text())
    assert manifest["sources"] == dict.fromkeys(("base", "a", "b"), "memory")


@pytest.mark.parametrize("content", ["not json", "\ud800"])
def test_a_configuration_that_cannot_be_read_is_refused_when_it_must_be_changed(models: Path, content: str) -> None:
    (models / "base" / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    refused(models, CheckpointError, "cannot be read", options=MergeOptions(dtype="bfloat16"))
    run(models)
