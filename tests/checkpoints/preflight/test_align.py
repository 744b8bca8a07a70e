"""The pre-flight check: every way in which finetunes do not fit their base, and right numbers when they do."""

from __future__ import annotations

import json
import math

import pytest
import torch

from paretomerge.arithmetic import tiles
from paretomerge.checkpoints import align, open_checkpoint, write_params
from paretomerge.checkpoints.preflight import task_vectors
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
    return {
        name: tensor + noise.get(name, 0) if tensor.is_floating_point() else tensor for name, tensor in base.items()
    }


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


@pytest.mark.parametrize(("tile", "run"), [(1, 1), (7, 2), (5, 64), (1 << 17, 4096)])
def test_statistics_equal_those_of_the_whole_vectors(monkeypatch, tile, run):
    monkeypatch.setattr(task_vectors, "TILE", tile)
    monkeypatch.setattr(tiles, "TILE", tile)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    monkeypatch.setattr(task_vectors, "RUN", run)
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
        angle = torch.nn.functional.cosine_similarity(origin + moved, origin, dim=0)
        assert row.cosine == pytest.approx(float(angle), rel=1e-12)
        each = {n: float((tunes[row.task][n] - BASE[n]).norm() / BASE[n].norm()) for n in matrices}
        assert [(far.tensor, pytest.approx(far.relative_distance)) for far in row.farthest] == sorted(
            each.items(), key=lambda item: -item[1]
        )
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
    assert only(alignment, "missing").repair == ("--skip", "layer.bias")
    assert only(alignment, "extra").repair == ("--private", "classifier.*")
    assert alignment.advice == "--skip layer.bias --private 'classifier.*'"


def test_missing_and_extra_counters_are_warnings():
    tune = finetune(BASE, 1)
    del tune["steps"]
    tune["mask"] = torch.ones(3, dtype=torch.bool)
    alignment = align(BASE, {"a": tune})
    assert alignment.ok
    assert [finding.kind for finding in alignment.warnings] == ["missing", "extra"]


def test_another_shape_is_an_error_that_guesses_the_cause():
    base = BASE | {"head.weight": torch.ones(2, 4), "head.bias": torch.ones(2), "position.weight": torch.ones(6, 4)}
    grown = finetune(base, 1) | {"embed.weight": torch.zeros(9, 4)}
    other = finetune(base, 1) | {"layer.weight": torch.zeros(4, 5)}
    classes = finetune(base, 1) | {"head.weight": torch.ones(5, 4), "head.bias": torch.ones(5)}
    longer = finetune(base, 1) | {"position.weight": torch.ones(12, 4)}
    alignment = align(base, {"grown": grown, "other": other, "classes": classes, "longer": longer})
    found = {finding.task: finding for finding in alignment.errors}
    assert len(alignment.errors) == 4
    assert "9 rows of tokens, the base 7 ('embed.weight'): another vocabulary" in found["grown"].message
    assert found["grown"].kind == "vocabulary"
    assert "[4, 5], in the base [4, 4]: another architecture" in found["other"].message
    assert (
        "'head.weight' has shape [5, 4], in the base [2, 4] and 1 more of 'head.*': another number of classes"
        in found["classes"].message
    )
    assert found["classes"].tensors == ("head.weight", "head.bias")
    assert found["classes"].repair == ("--private", "head.*")
    assert "a table of another length" in found["longer"].message
    assert found["longer"].repair == found["other"].repair == ()
    assert align(BASE, {"a": finetune(BASE, 1) | {"steps": torch.zeros(2, dtype=torch.int64)}}).ok


def test_another_floating_dtype_is_a_warning_and_a_quantised_one_an_error():
    half = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in finetune(BASE, 1).items()}
    alignment = align(BASE, {"a": half})
    assert alignment.ok
    assert only(alignment, "dtype").tensors == ("embed.weight", "layer.weight", "layer.bias")
    assert "3 tensors (first 'embed.weight') are torch.bfloat16, in the base torch.float64" in str(
        alignment.warnings[0]
    )
    view = open_checkpoint(half)
    view.is_adapter = True
    assert align(BASE, {"a": view}).findings == ()
    quantised = finetune(BASE, 1) | {"layer.weight": torch.zeros(4, 4, dtype=torch.int8)}
    assert "quantised" in only(align(BASE, {"a": quantised}), "dtype").message
    assert not align(BASE, {"a": quantised}).ok


@pytest.mark.parametrize("check_values", [True, False])
def test_a_prefix_is_found_in_either_direction(check_values):
    tune = finetune(BASE, 1)
    added = {f"bert.{name}": tensor for name, tensor in tune.items()}
    found = only(align(BASE, {"a": added}, check_values=check_values), "renamed")
    assert found.repair == ("--rename", "a=bert.:")
    assert "--rename a=bert.:" in found.message
    assert "4 of 4 tensors" in found.message
    prefixed_base = {f"bert.{name}": tensor for name, tensor in BASE.items()} | {"head.bias": torch.zeros(2)}
    alignment = align(prefixed_base, {"a": tune}, check_values=check_values)
    assert only(alignment, "renamed").repair == ("--rename", "a=:bert.")
    assert alignment.tasks[0].tensors == 3
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
    assert alignment.tied == ()
    assert "beside 'embed.weight'" in only(alignment, "tied").message
    tune["lm_head.weight"] = tune["lm_head.weight"] + 1
    assert only(align(BASE, {"a": tune}), "extra").severity == "error"


def test_a_finetune_that_untied_its_head_is_reported():
    base = BASE | {"lm_head.weight": BASE["embed.weight"]}
    tied = finetune(BASE, 1)
    tied["lm_head.weight"] = tied["embed.weight"]
    untied = tied | {"lm_head.weight": tied["embed.weight"] + 0.1}
    assert align(base, {"a": tied}).findings == ()
    assert align(base, {"a": tied}).tied == (("embed.weight", "lm_head.weight"),)
    assert align(base, {"a": tied, "b": untied}).tied == ()
    assert "draws for each" in only(align(base, {"a": tied}, drops_at_random=True), "tied").message
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
    assert "probably it was not finetuned from this base" in only(alignment, "unrelated").message
    assert abs(alignment.tasks[0].cosine) < 0.03
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
    assert "the base's are kept" in only(alignment, "buffer").message
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
    assert "b: has 9 rows of tokens" in text
    assert text.endswith("add to `paretomerge check` or `paretomerge merge`:  --skip layer.bias --tokenizer base")


def test_a_long_list_names_every_tensor_without_repeating_the_advice():
    base = {f"w{i}": torch.ones(i + 1) for i in range(40)} | {"kept": torch.ones(1)}
    with pytest.raises(AlignmentError) as caught:
        align(base, {"a": {"kept": torch.ones(1)}}).raise_if_bad()
    text = str(caught.value)
    assert "40 problems" in text
    assert "and 28 more (missing)" in text
    assert all(f"w{i}" in text for i in range(40))
    assert "--skip" not in text, "less than half is in common: another model, nothing to skip"


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


def test_a_scaled_copy_is_told_apart_from_another_model():
    base = {"w": torch.ones(20, 20)}
    assert "on another scale" in only(align(base, {"a": {"w": 3 * torch.ones(20, 20)}}), "unrelated").message


def test_a_head_that_was_initialised_anew_is_a_warning():
    draw = torch.Generator().manual_seed(0)
    base = {"trunk": torch.randn(40, 40, generator=draw), "head.weight": torch.randn(16, 16, generator=draw)}
    tune = {"trunk": base["trunk"] + 0.01, "head.weight": torch.randn(16, 16, generator=draw)}
    alignment = align(base, {"a": tune})
    assert alignment.ok
    found = only(alignment, "unrelated")
    assert (found.severity, found.tensors) == ("warning", ("head.weight",))
    assert "--private 'head.weight'" in found.message
    small = {name: tensor[:15, :15] if name == "head.weight" else tensor for name, tensor in base.items()}
    other = small | {"head.weight": tune["head.weight"][:15, :15], "trunk": tune["trunk"]}
    assert align(small, {"a": other}).findings == (), "225 elements are too few to judge an angle"


def test_a_finetune_ten_times_farther_than_the_others_is_a_warning():
    base = {"w": torch.ones(4, 4)}

    def moved(step: float) -> dict[str, torch.Tensor]:
        return {"w": torch.ones(4, 4) + step * torch.eye(4)}

    alignment = align(base, {"a": moved(0.01), "b": moved(0.02), "c": moved(0.3)})
    found = only(alignment, "outlier")
    assert found.task == "c"
    assert "20 times the median of the others (0.0075)" in found.message
    assert align(base, {"a": moved(0.01), "b": moved(0.02), "c": moved(0.14)}).findings == ()
    assert align(base, {"a": moved(0.01), "c": moved(0.3)}).findings == (), "of two nobody knows which is odd"


def test_squares_that_float32_cannot_hold_are_summed_in_float64():
    base = {"w": torch.full((2, 2), 1e25)}
    alignment = align(base, {"a": {"w": torch.full((2, 2), 1.5e25)}})
    assert alignment.findings == ()
    assert alignment.tasks[0].relative_distance == pytest.approx(0.5)


def test_a_difference_whose_square_vanishes_is_seen():
    base = {"w": torch.zeros(2, 2), "v": torch.ones(2, 2)}
    alignment = align(base, {"a": base | {"w": torch.full((2, 2), 1e-30)}, "b": dict(base)})
    assert only(alignment, "identical").task == "b"


def test_a_difference_in_the_last_element_is_seen(monkeypatch):
    monkeypatch.setattr(task_vectors, "TILE", 16)
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    base, first = {"w": torch.zeros(50, 2)}, {"w": torch.ones(50, 2)}
    second = {"w": torch.ones(50, 2)}
    second["w"][-1, -1] += 1e-6
    assert [finding.kind for finding in align(base, {"a": first, "b": second}).findings] == []
    assert only(align(base, {"a": first, "b": dict(first)}), "identical").task == "b"


def test_kept_names_are_neither_compared_nor_read():
    base = BASE | {"head.weight": torch.full((3, 3), math.nan, dtype=torch.float64)}
    assert align(base, {"a": finetune(BASE, 1)}, kept={"head.weight"}).findings == ()
    grown = finetune(BASE, 1) | {"embed.weight": torch.zeros(9, 4)}
    assert align(BASE, {"a": grown}, kept={"embed.weight"}).findings == ()


def test_a_kept_name_that_is_tied_to_a_merged_one_is_a_warning():
    base = BASE | {"lm_head.weight": BASE["embed.weight"]}
    for kept, other in (("lm_head.weight", "embed.weight"), ("embed.weight", "lm_head.weight")):
        found = only(align(base, {"a": finetune(base, 1), "b": finetune(base, 2)}, kept={kept}), "tied")
        assert found.task is None
        assert f"{kept!r} is kept from the base, where it is tied to {other!r}" in found.message
    assert align(base, {"a": finetune(BASE, 1)}, kept={"embed.weight", "lm_head.weight"}).findings == ()


def test_a_sample_reads_only_part_and_says_so(monkeypatch):
    monkeypatch.setattr(task_vectors.sample_names, "__defaults__", (16,))
    read = []

    class Noted(dict):
        def read(self, name, buffer):
            read.append(name)
            return self[name]

    base = Noted({f"w{i}": torch.ones(4, 2) for i in range(9)})
    tune = Noted({name: tensor.clone() for name, tensor in base.items()})
    alignment = align(base, {"a": tune}, check_values="sample")
    assert len(read) == 4
    assert "is equal to the base in the 2 tensors that were read" in only(alignment, "identical").message
    assert alignment.tasks[0].tensors == 9


def test_a_tensor_that_two_models_share_is_read_once():
    from paretomerge.checkpoints.views import view

    read: list[str] = []
    base = open_checkpoint(BASE)
    source, _ = base.locate("layer.weight")
    original = source.read
    source.read = lambda name, buffer=None: (read.append(name), original(name, buffer))[1]
    align(base, {"a": view(base, {name: name for name in base})})
    assert sorted(read) == ["embed.weight", "layer.bias", "layer.weight", "steps", "steps"]


def test_both_directions_of_two_finetunes_give_the_same_numbers():
    one, two = finetune(BASE, 1), finetune(BASE, 2)
    forward, backward = align(BASE, {"a": one, "b": two}), align(BASE, {"b": two, "a": one})
    assert forward.cosines[0].cosine == pytest.approx(backward.cosines[0].cosine, rel=1e-14)
    assert {row.task: row.norm for row in forward.tasks} == {row.task: row.norm for row in backward.tasks}


def test_for_another_model_no_option_is_advised():
    base = {"w": torch.ones(2), "a": torch.ones(50, 2), "b": torch.ones(50, 2)}
    alignment = align(base, {"a": {"w": torch.ones(2) * 1.1, "other.x": torch.ones(3)}})
    assert {finding.kind for finding in alignment.errors} == {"missing", "extra"}
    assert alignment.advice == ""
    close = align(base, {"a": {name: base[name] * 1.1 for name in ("w", "a")} | {"other.x": torch.ones(3)}})
    assert close.advice == "--skip b --private 'other.*'"
