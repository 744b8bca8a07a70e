"""The pre-flight check: every way in which finetunes do not fit their base, and right numbers when they do."""

from __future__ import annotations

import json
import math

import pytest
import torch

from paretomerge.checkpoints import align, open_checkpoint, task_vectors, write_params
from paretomerge.errors import AlignmentError


def model(seed: int = 0, scale: float = 1.0, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "embed.weight": torch.randn(7, 4, generator=generator, dtype=torch.float64) * scale,
        "layer.weight": torch.randn(4, 4, generator=generator, dtype=torch.float64) * scale,
        "layer.bias": torch.randn(4, generator=generator, dtype=torch.float64) * scale,
        "steps": torch.tensor(3),
    } | more


def finetune(base, seed: int, scale: float = 0.05) -> dict[str, torch.Tensor]:
    noise = model(seed, scale)
    return {name: tensor + noise[name] if tensor.is_floating_point() else tensor for name, tensor in base.items()}


BASE = model()


def only(alignment, kind: str):
    found = [finding for finding in alignment.findings if finding.kind == kind]
    assert len(found) == 1, alignment.findings
    return found[0]


def test_fitting_finetunes_have_no_findings():
    alignment = align(BASE, {"a": finetune(BASE, 1), "b": finetune(BASE, 2)})
    assert alignment.ok
    assert alignment.findings == ()
    assert alignment.raise_if_bad() is alignment


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_statistics_equal_those_of_the_whole_vectors(monkeypatch, piece):
    monkeypatch.setattr(task_vectors, "PIECE", piece)
    tunes = {"a": finetune(BASE, 1), "b": finetune(BASE, 2)}
    alignment = align(BASE, tunes)
    floating = [name for name in BASE if BASE[name].is_floating_point()]
    delta = {t: torch.cat([(tune[n] - BASE[n]).reshape(-1) for n in floating]) for t, tune in tunes.items()}
    matrices = ["embed.weight", "layer.weight"]
    origin = torch.cat([BASE[n].reshape(-1) for n in matrices])
    for row in alignment.tasks:
        moved = torch.cat([(tunes[row.task][n] - BASE[n]).reshape(-1) for n in matrices])
        assert row.tensors == 3
        assert row.parameters == 28 + 16 + 4
        assert row.norm == pytest.approx(float(delta[row.task].norm()), rel=1e-12)
        assert row.relative_distance == pytest.approx(float(moved.norm() / origin.norm()), rel=1e-12)
    (pair,) = alignment.cosines
    assert pair.tasks == ("a", "b")
    expected = torch.nn.functional.cosine_similarity(delta["a"], delta["b"], dim=0)
    assert pair.cosine == pytest.approx(float(expected), rel=1e-10)


def test_missing_and_extra_tensors_are_errors():
    tune = finetune(BASE, 1)
    del tune["layer.bias"]
    tune["classifier.weight"] = torch.zeros(2, 4)
    alignment = align(BASE, {"a": tune})
    assert not alignment.ok
    assert only(alignment, "missing").tensor == "layer.bias"
    assert only(alignment, "missing").severity == "error"
    assert only(alignment, "extra").severity == "error"
    assert "add it to the base, or leave it out" in only(alignment, "extra").message


def test_missing_and_extra_counters_are_warnings():
    tune = finetune(BASE, 1)
    del tune["steps"]
    tune["mask"] = torch.ones(3, dtype=torch.bool)
    alignment = align(BASE, {"a": tune})
    assert alignment.ok
    assert [finding.kind for finding in alignment.warnings] == ["missing", "extra"]


def test_another_shape_is_an_error_that_guesses_the_cause():
    grown = finetune(BASE, 1) | {"embed.weight": torch.zeros(9, 4)}
    other = finetune(BASE, 1) | {"layer.weight": torch.zeros(4, 5)}
    alignment = align(BASE, {"grown": grown, "other": other})
    first, second = alignment.errors
    assert "[9, 4], in the base [7, 4]: a resized vocabulary" in first.message
    assert "another architecture" in second.message
    assert align(BASE, {"a": finetune(BASE, 1) | {"steps": torch.zeros(2, dtype=torch.int64)}}).ok


def test_another_floating_dtype_is_a_warning_and_a_quantised_one_an_error():
    half = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in finetune(BASE, 1).items()}
    alignment = align(BASE, {"a": half})
    assert alignment.ok
    assert {finding.kind for finding in alignment.warnings} == {"dtype"}
    quantised = finetune(BASE, 1) | {"layer.weight": torch.zeros(4, 4, dtype=torch.int8)}
    assert "quantised" in only(align(BASE, {"a": quantised}), "dtype").message
    assert not align(BASE, {"a": quantised}).ok


@pytest.mark.parametrize("check_values", [True, False])
def test_a_prefix_is_found_in_either_direction(check_values):
    tune = finetune(BASE, 1)
    added = {f"bert.{name}": tensor for name, tensor in tune.items()}
    found = only(align(BASE, {"a": added}, check_values=check_values), "renamed")
    assert "remove the prefix 'bert.' from its names" in found.message
    assert "4 of 4 tensors" in found.message
    prefixed_base = {f"bert.{name}": tensor for name, tensor in BASE.items()} | {"head.bias": torch.zeros(2)}
    alignment = align(prefixed_base, {"a": tune}, check_values=check_values)
    assert "add the prefix 'bert.' to its names" in only(alignment, "renamed").message
    assert only(alignment, "missing").tensor == "head.bias"


def test_a_tied_tensor_saved_only_in_the_base_is_explained():
    base = BASE | {"lm_head.weight": BASE["embed.weight"]}
    alignment = align(base, {"a": finetune(BASE, 1)})
    found = only(alignment, "tied")
    assert found.severity == "error"
    assert "tied to 'embed.weight'" in found.message


def test_a_tied_tensor_saved_only_in_the_finetune_is_dropped_with_a_warning():
    tune = finetune(BASE, 1)
    tune["lm_head.weight"] = tune["embed.weight"].clone()
    alignment = align(BASE, {"a": tune})
    assert alignment.ok
    assert "beside 'embed.weight'" in only(alignment, "tied").message
    tune["lm_head.weight"] = tune["lm_head.weight"] + 1
    assert only(align(BASE, {"a": tune}), "extra").severity == "error"


def test_a_finetune_that_untied_its_head_is_reported():
    base = BASE | {"lm_head.weight": BASE["embed.weight"]}
    tied = finetune(BASE, 1)
    tied["lm_head.weight"] = tied["embed.weight"]
    untied = tied | {"lm_head.weight": tied["embed.weight"] + 0.1}
    assert align(base, {"a": tied}).findings == ()
    assert "tie_word_embeddings" in only(align(base, {"a": untied}), "tied").message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_that_are_not_finite_are_counted_and_left_out_of_the_sums(dtype):
    base = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in BASE.items()}
    broken = {name: tensor.clone() for name, tensor in base.items()}
    broken["layer.bias"][:3] = torch.tensor([math.nan, math.inf, -math.inf])
    alignment = align(base, {"a": broken, "b": base})
    found = only(alignment, "not_finite")
    assert (found.task, found.tensor, found.severity) == ("a", "layer.bias", "error")
    assert "1 NaN and 2 infinite" in found.message
    assert alignment.tasks[0].norm == 0.0
    in_base = only(align(broken, {"a": base}), "not_finite")
    assert in_base.task is None
    with pytest.raises(AlignmentError, match=r"base: 'layer\.bias' holds 1 NaN"):
        align(broken, {"a": base}).raise_if_bad()


def test_a_large_float64_value_is_not_called_infinite():
    base = BASE | {"layer.bias": torch.full((4,), 1e300, dtype=torch.float64)}
    assert not [f for f in align(base, {"a": base}).findings if f.kind == "not_finite"]


def test_a_finetune_equal_to_the_base_is_a_warning():
    alignment = align(BASE, {"a": dict(BASE), "b": finetune(BASE, 1)})
    assert alignment.ok
    found = only(alignment, "identical")
    assert found.task == "a"
    assert "equal to the base" in found.message
    assert alignment.cosines[0].cosine is None


def test_two_equal_finetunes_are_a_warning():
    alignment = align(BASE, {"a": finetune(BASE, 1), "b": finetune(BASE, 1), "c": finetune(BASE, 2)})
    found = only(alignment, "identical")
    assert found.task == "b"
    assert "equal to the finetune of 'a'" in found.message


def test_an_unrelated_model_is_refused_at_about_root_two():
    generator = torch.Generator().manual_seed(1)
    base, other = ({"w": torch.randn(200, 200, generator=generator)} for _ in range(2))
    alignment = align(base, {"a": other})
    assert alignment.tasks[0].relative_distance == pytest.approx(math.sqrt(2), abs=0.03)
    assert "√2" in only(alignment, "unrelated").message
    assert align(base, {"a": other}, max_distance=1.5).ok


def test_the_limit_itself_is_too_far():
    base = {"w": torch.ones(2, 2)}
    tune = {"w": torch.ones(2, 2) * 1.5}
    assert not align(base, {"a": tune}, max_distance=0.5).ok
    assert align(base, {"a": tune}, max_distance=0.5001).ok


def test_vectors_and_counters_do_not_enter_the_distance():
    base = {"w": torch.ones(2, 2), "b": torch.ones(2), "n": torch.zeros(2, 2, dtype=torch.int64)}
    tune = {"w": torch.ones(2, 2), "b": torch.full((2,), 100.0), "n": torch.full((2, 2), 1000)}
    alignment = align(base, {"a": tune})
    assert alignment.findings == ()
    assert alignment.tasks[0].relative_distance == 0.0


def test_a_zero_base_has_no_relative_distance():
    alignment = align({"w": torch.zeros(2, 2)}, {"a": {"w": torch.ones(2, 2)}})
    assert alignment.ok
    assert alignment.tasks[0].relative_distance is None
    assert alignment.tasks[0].norm == 2.0


def test_nothing_in_common_is_an_error():
    alignment = align(BASE, {"a": {"other": torch.zeros(2)}})
    assert only(alignment, "empty").severity == "error"


def test_every_problem_is_listed_at_once():
    incomplete, grown = finetune(BASE, 1), finetune(BASE, 2)
    del incomplete["layer.bias"]
    grown["embed.weight"] = torch.zeros(9, 4)
    with pytest.raises(AlignmentError) as caught:
        align(BASE, {"a": incomplete, "b": grown}).raise_if_bad()
    text = str(caught.value)
    assert "2 problems" in text
    assert "a: lacks 'layer.bias'" in text
    assert "b: 'embed.weight' has shape" in text


def test_a_long_list_names_every_tensor_without_repeating_the_advice():
    base = {f"w{i}": torch.ones(i + 1) for i in range(40)} | {"kept": torch.ones(1)}
    with pytest.raises(AlignmentError) as caught:
        align(base, {"a": {"kept": torch.ones(1)}}).raise_if_bad()
    text = str(caught.value)
    assert "40 problems" in text
    assert "and 28 more (missing)" in text
    assert all(f"w{i}" in text for i in range(40))


class Unreadable(dict):
    """Knows its specs, refuses to give values."""

    def spec(self, name):
        tensor = dict.__getitem__(self, name)
        return task_vectors.spec_of({name: tensor}, name)

    def __getitem__(self, name):
        raise AssertionError(f"{name} was read")


def test_without_values_only_the_specs_are_read():
    alignment = align(Unreadable(BASE), {"a": Unreadable(finetune(BASE, 1))}, check_values=False)
    assert alignment.ok
    assert alignment.tasks[0].parameters == 48
    assert alignment.tasks[0].norm is None
    assert alignment.cosines == ()


def test_checkpoints_on_disk_give_the_same_alignment(tmp_path):
    tune = finetune(BASE, 1)
    base = open_checkpoint(write_params(tmp_path / "base", BASE, max_shard_bytes=100))
    assert align(base, {"a": open_checkpoint(write_params(tmp_path / "a", tune))}) == align(BASE, {"a": tune})


def test_the_dictionary_is_json():
    tune = finetune(BASE, 1)
    del tune["layer.bias"]
    content = json.loads(json.dumps(align(BASE, {"a": tune}).as_dict(), allow_nan=False))
    assert content["ok"] is False
    assert content["findings"][0]["tensor"] == "layer.bias"
    assert content["tasks"][0]["task"] == "a"


def test_no_finetunes_and_impossible_limits_are_refused():
    with pytest.raises(AlignmentError, match="no finetunes"):
        align(BASE, {})
    for limit in (0.0, -1.0, math.nan):
        with pytest.raises(AlignmentError, match="must be positive"):
            align(BASE, {"a": BASE}, max_distance=limit)


def test_the_inputs_are_not_changed():
    base, tune = model(), finetune(BASE, 1)
    copies = [{name: tensor.clone() for name, tensor in params.items()} for params in (base, tune)]
    align(base, {"a": tune})
    for params, copy in zip((base, tune), copies, strict=True):
        assert all(torch.equal(params[name], copy[name]) for name in copy)
