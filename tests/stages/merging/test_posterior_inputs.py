"""Files of posteriors are held against the base and against each other before anything is merged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.checkpoints.posteriors.examples import changed, kronecker, low_rank

from paretomerge.checkpoints import open_checkpoint, save_posterior, write_params
from paretomerge.checkpoints.files.safetensors_files import SafetensorsFile, open_safetensors
from paretomerge.errors import AlignmentError, InputError, PosteriorError
from paretomerge.merging import MixtureMerge, PosteriorMerge, merge
from paretomerge.posteriors import (
    Curvature,
    Diagonal,
    Expanded,
    Isotropic,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Mixture,
    Provenance,
    damp,
    relative_strength,
)
from paretomerge.stages import MergeOptions, check_posteriors, describe_posterior, merge_checkpoints
from paretomerge.stages.merging.posterior_inputs import open_posteriors, require_posteriors
from paretomerge.types import digest_params

BASE = {"w": torch.tensor([[1.0, 2.0], [0.5, -1.0]]), "b": torch.tensor([3.0, 1.0]), "steps": torch.tensor([4])}
HALVES = {"a": 0.5, "b": 0.5}


def diagonal(seed: int = 0) -> Diagonal:
    generator = torch.Generator().manual_seed(seed)
    mean = {name: torch.randn(BASE[name].shape, generator=generator) for name in ("w", "b")}
    return Diagonal(mean, {name: torch.rand(t.shape, generator=generator) + 0.1 for name, t in mean.items()})


ORIGIN = Provenance("true fisher", "finetune", 100, base=digest_params(BASE), base_name="org/base")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_params(tmp_path / "base", BASE)


def save(folder: Path, *origins: Provenance | None, posteriors: tuple[Curvature, ...] | None = None) -> dict[str, Path]:
    held = posteriors or tuple(diagonal(number) for number in range(len(origins)))
    pairs = zip("abc", held, origins, strict=False)
    return {
        task: save_posterior(folder / f"{task}.safetensors", posterior, origin) for task, posterior, origin in pairs
    }


def run(base: Path, files: dict[str, Path], **options: str) -> tuple[str, ...]:
    weights = {task: 1 / len(files) for task in files}
    return merge_checkpoints(base.parent / "out", base, files, weights, options=MergeOptions(**options)).warnings


def test_files_that_agree_are_merged_without_a_word(base):
    assert run(base, save(base.parent, ORIGIN, ORIGIN)) == ()


@pytest.mark.parametrize("check", ["sample", "full"])
def test_the_posterior_of_another_base_is_refused_with_the_name_of_the_one_expected(base, check):
    other = replace(ORIGIN, base="f" * 64)
    files = save(base.parent, other, other)
    with pytest.raises(AlignmentError) as caught:
        run(base, files, check=check)
    assert f"{files['a']}: the posterior of 'a' was fitted on the base 'org/base' (ffffffffffff…)" in str(caught.value)
    assert f"{base} has the digest {digest_params(BASE)[:12]}…" in str(caught.value)
    assert not (base.parent / "out").exists()


def test_names_alone_do_not_read_the_base(base, monkeypatch):
    read = []
    original = SafetensorsFile.read
    monkeypatch.setattr(
        SafetensorsFile, "read", lambda self, name, *rest: read.append(name) or original(self, name, *rest)
    )
    other = replace(ORIGIN, base="f" * 64)
    assert run(base, save(base.parent, other, other), check="names") == ()
    assert "w" not in read  # of the base only what no posterior covers is copied
    assert "mean/w" in read


def test_posteriors_of_two_bases_are_refused_whatever_is_checked(base):
    files = save(base.parent, ORIGIN, replace(ORIGIN, base="f" * 64, base_name=""))
    with pytest.raises(AlignmentError, match=r"a\.safetensors was fitted on the base 'org/base' .* on ffffffffffff…"):
        run(base, files, check="names")


def test_posteriors_in_other_units_are_refused(base):
    files = save(base.parent, ORIGIN, replace(ORIGIN, units="sum", scale=""))
    with pytest.raises(PosteriorError, match=r"a\.safetensors holds curv.* mean loss .*b\.safetensors curv.*summed"):
        run(base, files)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"route": "adam"}, "measured by different routes (adam, true fisher): one task may outweigh"),
        ({"location": "centred"}, "taken at different places ('centred', 'finetune')"),
        ({"damping": 0.5}, "in some files damped and in others not"),
        ({"base": ""}, "b.safetensors: the base it was fitted on is not named there, so nothing was compared"),
    ],
)
def test_what_may_be_meant_is_a_warning(base, changes, expected):
    (warning,) = run(base, save(base.parent, ORIGIN, replace(ORIGIN, **changes)))
    assert expected in warning


def test_units_that_are_not_known_are_a_warning(base):
    unknown = replace(ORIGIN, units="relative", scale="")
    (warning,) = run(base, save(base.parent, unknown, unknown))
    assert "up to a factor that is not known" in warning


def test_files_that_say_nothing_are_merged_with_one_warning(base):
    (warning,) = run(base, save(base.parent, None, None))
    assert "a.safetensors and 1 more: the base it was fitted on is not named there" in warning


def test_shapes_and_names_that_do_not_fit_name_the_file(base):
    files = save(base.parent, None, None)
    save_posterior(files["b"], Isotropic({"w": torch.ones(3)}))
    with pytest.raises(
        AlignmentError, match=r"b\.safetensors: 'w' has shape \[3\] in the posterior of 'b' and \[2, 2\]"
    ):
        run(base, files)
    save_posterior(files["b"], Isotropic({"v": torch.ones(3)}))
    with pytest.raises(AlignmentError, match=r"b\.safetensors: the posterior of 'b' covers 'v', which the base"):
        run(base, files)
    save_posterior(files["b"], Isotropic({"w": torch.ones(2, 2)}))
    with pytest.raises(
        PosteriorError, match=r"a\.safetensors holds .* family diagonal, .*b\.safetensors one of isotropic"
    ):
        run(base, files)
    part = diagonal()
    save_posterior(files["b"], Diagonal({"w": part.mean["w"]}, {"w": part.precision["w"]}))
    with pytest.raises(PosteriorError, match=r"b\.safetensors are over different parameters, the first is 'b'"):
        run(base, files)


def test_a_negative_precision_deep_in_a_file_names_file_and_tensor_and_leaves_nothing(base):
    files = save(base.parent, ORIGIN, ORIGIN)
    precision = open_safetensors(files["b"]).read("precision/w")
    precision[1, 1] = -2.0
    changed(files["b"], tensors={"precision/w": precision})
    with pytest.raises(PosteriorError, match=r"the precision of 'w' in .*b\.safetensors is negative \(lowest -2\)"):
        run(base, files)
    assert not (base.parent / "out").exists()


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def damped_kronecker(seed: int) -> Kronecker:
    found = kronecker(seed)
    return Kronecker(found.mean, {layer: factors.damped(0.1) for layer, factors in found.factors.items()})


def ranked(seed: int) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    like = low_rank().mean
    mean = {name: torch.randn(tensor.shape, generator=generator).to(tensor.dtype) for name, tensor in like.items()}
    factors = {name: torch.randn(2 + seed, *tensor.shape, generator=generator) for name, tensor in like.items()}
    return LowRank(
        mean, {name: torch.rand(tensor.shape, generator=generator) + 0.1 for name, tensor in mean.items()}, factors
    )


@pytest.mark.parametrize("make", [diagonal, damped_kronecker, ranked])
def test_files_merge_exactly_as_the_posteriors_they_hold(tmp_path, make):
    posteriors = {"a": make(0), "b": make(1)}
    base = {name: tensor.clone() for name, tensor in posteriors["a"].mean.items()} | {"more": torch.ones(2)}
    write_params(tmp_path / "base", base)
    files = save(tmp_path, None, None, posteriors=tuple(posteriors.values()))
    weights = [{"a": 0.3, "b": 0.7}, {"a": 1.0, "b": 0.0}]
    summary = merge_checkpoints(tmp_path / "out", tmp_path / "base", files, weights)
    expected = merge(posteriors, [[row["a"], row["b"]] for row in weights], base=base)
    for path, merged in zip(summary.paths, expected, strict=True):
        found = read_all(Path(path))
        assert list(found) == list(base)
        for name, tensor in merged.items():
            # Products over memory of another alignment may be rounded otherwise, in their last bit.
            torch.testing.assert_close(found[name], tensor, rtol=4 * torch.finfo(tensor.dtype).eps, atol=0)


def test_files_of_mixtures_merge_as_the_mixtures_they_hold(tmp_path):
    posteriors = {task: Mixture([diagonal(k), diagonal(k + 1)], [0.0, 0.5]) for k, task in ((0, "a"), (2, "b"))}
    base = write_params(tmp_path / "base", BASE)
    files = save(tmp_path, None, None, posteriors=tuple(posteriors.values()))
    rule = MixtureMerge()
    merge_checkpoints(tmp_path / "out", base, files, HALVES, rule)
    found, expected = read_all(tmp_path / "out"), merge(posteriors, HALVES, rule=rule, base=BASE)
    assert list(found) == list(BASE)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-8)


def test_layers_of_kronecker_posteriors_are_read_one_after_the_other(tmp_path, monkeypatch):
    """What was read of a layer is let go before the merge is at its end: the memory is that of a few layers."""
    generator = torch.Generator().manual_seed(0)
    layers = [f"h.{number}.w" for number in range(6)]

    def make() -> Kronecker:
        mean = {name: torch.randn(300, 300, generator=generator) for name in layers}
        basis = torch.linalg.qr(torch.randn(300, 300, generator=generator))[0]
        return Kronecker(mean, {n: KroneckerFactors(n, None, basis, basis, torch.rand(300, 300) + 0.1) for n in layers})

    posteriors = make(), make()
    base = write_params(tmp_path / "base", dict(posteriors[0].mean))
    files = save(tmp_path, None, None, posteriors=posteriors)
    monkeypatch.setattr("paretomerge.stages.merging.streaming.SLACK", 0)
    order: list[str] = []
    original = SafetensorsFile.read

    def recording(self, name, buffer=None):
        order.append(name)
        return original(self, name, buffer)

    done: list[int] = []
    monkeypatch.setattr(SafetensorsFile, "read", recording)
    run_options = MergeOptions(check="names")
    merge_checkpoints(
        tmp_path / "out", base, files, HALVES, options=run_options, advance=lambda *_: done.append(len(order))
    )
    per_layer = 8  # mean, eigenvalues and two bases of two tasks
    assert len(order) == per_layer * len(layers)
    budget = per_layer + 1  # of reading ahead: the tensors of one layer, and the base's
    assert done[0] <= per_layer + budget
    assert done[2] <= 3 * per_layer + budget < len(order)


def test_an_expansion_is_no_posterior_before_it_is_damped(base):
    held = diagonal()
    files = save(base.parent, ORIGIN, posteriors=(Expanded(held, held.mean, held.mean),))
    with pytest.raises(PosteriorError, match=r"a\.safetensors: holds a loss expanded where merges land"):
        run(base, files)
    with pytest.raises(PosteriorError, match=r"name the files of all tasks as posterior\.files in a recipe"):
        check_posteriors(base, files)
    assert describe_posterior(files["a"]).family == "expanded"


def test_a_low_rank_merge_holds_no_more_than_it_reads_at_a_time(tmp_path, monkeypatch):
    """It goes through the tensors several times, so that what is kept for later would be the whole posterior."""
    from paretomerge.checkpoints import Prefetch

    kept: list[str] = []
    original = Prefetch._plan
    monkeypatch.setattr(
        Prefetch, "_plan", lambda self, checkpoint, name: kept.append(name) or original(self, checkpoint, name)
    )
    posteriors = ranked(0), ranked(1)
    base = write_params(tmp_path / "base", {**posteriors[0].mean, "more": torch.ones(2)})
    files = save(tmp_path, None, None, posteriors=posteriors)
    merge_checkpoints(tmp_path / "out", base, files, HALVES, PosteriorMerge())
    assert kept == ["more"]


def expanded(seed: int) -> Expanded:
    curvature = diagonal(seed)
    slope = {name: 0.1 * torch.ones_like(tensor) for name, tensor in curvature.mean.items()}
    return Expanded(curvature, slope, diagonal(seed + 10).mean)


@pytest.mark.parametrize("make", [diagonal, kronecker, lambda seed: low_rank(), expanded])
def test_damped_files_are_merged_as_damped_posteriors(base, make):
    held = {task: make(number) for number, task in enumerate("ab")}
    bare = Provenance("true fisher", "finetune", 100)
    files = save(base.parent, bare, bare, posteriors=tuple(held.values()))
    specs = next(iter(held.values())).specs
    zeros = {name: torch.zeros(spec.shape) for name, spec in specs.items()}
    own = write_params(base.parent / "own", zeros)
    merge_checkpoints(base.parent / "out", own, files, HALVES, options=MergeOptions(damping=0.3))
    found, expected = open_checkpoint(base.parent / "out"), merge(damp(held, 0.3), HALVES, base=zeros)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_damped_diagonal_is_still_read_tensor_by_tensor(base):
    files = open_posteriors(save(base.parent, ORIGIN, ORIGIN))
    damped = require_posteriors(files, 0.3)["a"]
    assert hasattr(damped.precision, "spec")
    strength = float(relative_strength({task: diagonal(number) for number, task in enumerate("ab")}, 0.3))
    torch.testing.assert_close(damped.natural("w").precision, diagonal(0).precision["w"] + strength)


def test_what_was_damped_already_is_not_damped_again(base):
    files = save(base.parent, replace(ORIGIN, damping=0.2), ORIGIN)
    with pytest.raises(PosteriorError, match=r"a.safetensors: holds a precision that was damped by 0.2 already"):
        run(base, files, damping=0.1)


def test_checkpoints_have_nothing_to_damp(base):
    with pytest.raises(InputError, match="damping is for files of posteriors"):
        merge_checkpoints(base.parent / "out", base, {"a": base}, {"a": 1.0}, options=MergeOptions(damping=0.1))
    with pytest.raises(InputError, match="at least 0, got -1"):
        MergeOptions(damping=-1.0)
