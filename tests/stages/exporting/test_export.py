"""A point of a run's front as a folder that says what it is, scores what was measured, and loads where it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tests.stages.exported_studies import adapter_study, llama_study
from tests.tiny import invoke, logged_recipe, recipe_of, write_recipe

from paretomerge.checkpoints import MANIFEST, open_checkpoint
from paretomerge.choices import Knee
from paretomerge.errors import CheckpointError, EvaluationError, InputError, StorageError, WeightsError
from paretomerge.recipes import digest_recipe
from paretomerge.runs import Journal
from paretomerge.stages import (
    Study,
    check_export,
    choose_point,
    estimate_run_front,
    export_adapter,
    export_mergekit,
    export_point,
    export_weights,
    fit_run,
    front_of,
    open_study,
)
from paretomerge.stages.exporting.export import measured_point

QUICK = {"posterior": {"family": "isotropic"}, "front": {"evaluations": 5, "points": 6}}


@pytest.fixture(scope="module")
def tiny_run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = open_study(write_recipe(tiny, recipe_of(**QUICK), "export.yaml"), tmp_path_factory.mktemp("export") / "run")
    estimate_run_front(study)
    choose_point(study, Knee())
    return study


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = adapter_study(tmp_path_factory.mktemp("adapters"))
    choose_point(study, Knee())
    return study


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = llama_study(tmp_path_factory.mktemp("language"), rule={"name": "ties", "settings": {"density": 0.4}})
    choose_point(study, Knee())
    return study


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_has_intervals_a_picture_what_it_gives_up_the_cost_and_citations(
    tiny_run: Study, tmp_path: Path
) -> None:
    folder = export_point(tiny_run, "chosen", tmp_path / "out")
    text = card_of(folder)
    point = measured_point(tiny_run, front_of(tiny_run)[json.loads((folder / MANIFEST).read_text())["point"]["id"]])
    name = next(iter(point.values))
    low, high = (point.values[name] + sign * 1.6449 * point.stdev[name] for sign in (-1, 1))
    assert f"{point.values[name]:.6g} nats | {low:.4g} to {high:.4g} nats" in text
    assert "What it gives up" in text
    assert (folder / "front.png").read_bytes()[:4] == b"\x89PNG"
    assert "](front.png)" in text
    assert "evaluations" in text.split("## Cost")[1]
    assert "@article{monzon2024weight," in text
    assert "@inproceedings{wortsman2022model," in text
    assert str(tiny_run.folder.path) not in text


def test_what_is_given_up_is_measured_on_the_front(tiny_run: Study, tmp_path: Path) -> None:
    front = front_of(tiny_run)
    for number in (0, len(front) - 1):
        text = card_of(export_point(tiny_run, number, tmp_path / str(number)))
        lost = front.values[number] - front.values.min(axis=0)  # losses
        for objective, value in zip(front.objectives, lost, strict=True):
            assert f"- {objective.name}: {value:.4g} nats" in text


def test_a_picture_that_cannot_be_drawn_is_left_out_and_said(
    tiny_run: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paretomerge.reports
    from paretomerge.errors import MissingExtraError

    def missing(*_: object) -> None:
        raise MissingExtraError.of("matplotlib", "report")

    monkeypatch.setattr(paretomerge.reports, "draw_front", missing)
    said: list[str] = []
    folder = export_point(tiny_run, "chosen", tmp_path / "out", progress=said.append)
    assert not (folder / "front.png").exists()
    assert "front.png" not in card_of(folder)
    assert any("no picture of the front" in sentence and "paretomerge[report]" in sentence for sentence in said)


def test_task_weights_lie_beside_it_with_sizes_and_code(tiny_run: Study, tmp_path: Path) -> None:
    folder = export_point(tiny_run, "chosen", tmp_path / "out")
    content = yaml.safe_load((tmp_path / "out-weights.yaml").read_text())
    weights = json.loads((folder / MANIFEST).read_text())["point"]["weights"]
    assert content["loss_weights"] == weights
    assert content["sizes"] == dict.fromkeys(weights, 48)
    assert "'out-weights.yaml'" in content["snippets"]["plain_loop"]
    alone = export_weights(tiny_run, "chosen", tmp_path / "alone.json")
    assert json.loads(alone.read_text())["loss_weights"] == weights
    with pytest.raises(CheckpointError, match="the file exists"):
        export_weights(tiny_run, "chosen", alone)
    assert export_weights(tiny_run, 0, alone, overwrite=True) == alone
    assert json.loads(alone.read_text())["loss_weights"] == front_of(tiny_run)[0].weights


def test_without_a_problem_there_are_no_sizes(language: Study, tmp_path: Path) -> None:
    content = yaml.safe_load(export_weights(language, "chosen", tmp_path / "w.yaml").read_text())
    assert "sizes" not in content
    assert set(content["loss_weights"]) == {"math", "code"}


def test_coefficients_are_no_task_weights(own: Path, tmp_path: Path) -> None:
    content = recipe_of(**QUICK) | {"rule": {"name": "task_arithmetic"}}
    content["front"] = {"evaluations": 8, "points": 6, "domain": "coefficients"}
    study = open_study(write_recipe(own, content))
    with pytest.raises(InputError, match="coefficients are no task weights"):
        export_weights(study, 0, tmp_path / "w.yaml")
    folder = export_point(study, 0, tmp_path / "out")
    assert not (tmp_path / "out-weights.yaml").exists()
    assert "ilharco2023editing" in card_of(folder)
    assert check_export(study, folder).largest[1] < 1e-6


def test_an_export_scores_what_the_run_measured(tiny_run: Study, tmp_path: Path) -> None:
    folder = export_point(tiny_run, "chosen", tmp_path / "out")
    check = check_export(tiny_run, folder)
    assert check.loaded_by == "paretomerge"
    assert check.found == check.expected
    assert set(check.expected) == {objective.name for objective in tiny_run.objectives}
    with Journal(tiny_run.folder.journal) as journal:
        assert journal.ledger()["export"].evaluations == 1


def test_a_changed_file_is_noticed_with_both_scores(tiny_run: Study, tmp_path: Path) -> None:
    folder = export_point(tiny_run, "chosen", tmp_path / "out")
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(EvaluationError, match=r"scores loss\[.*\] = .*, but the run measured .*; rounding explains"):
        check_export(tiny_run, folder)


def test_folders_that_are_no_export_of_the_run_are_refused(tiny_run: Study, language: Study, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no export of a run"):
        check_export(tiny_run, tmp_path / "empty")
    with pytest.raises(CheckpointError, match="exported on another base"):
        check_export(tiny_run, export_point(language, "chosen", tmp_path / "other"))


@pytest.mark.parametrize(("dtype", "exact"), [("float64", True), ("bfloat16", False), ("float16", False)])
def test_another_dtype_is_rounded_once_and_scores_the_same_up_to_it(
    tiny_run: Study, tmp_path: Path, dtype: str, exact: bool
) -> None:
    folder = export_point(tiny_run, "chosen", tmp_path / "out", dtype=dtype)
    weights = json.loads((folder / MANIFEST).read_text())["point"]["weights"]
    [merged] = fit_run(tiny_run).models(np.array([list(weights.values())]))
    written = open_checkpoint(folder)
    for name, tensor in merged.items():
        assert torch.equal(written[name], tensor.to(getattr(torch, dtype)))
    assert f"from before the weights were written as {dtype}" in card_of(folder)
    largest = check_export(tiny_run, folder).largest[1]
    assert largest < 1e-6 if exact else 0 < largest < 0.03


def test_a_wider_export_of_a_model_in_half_precision_is_merged_in_the_wider_one(tmp_path: Path) -> None:
    study = llama_study(tmp_path, torch.bfloat16)
    narrow = open_checkpoint(export_point(study, 1, tmp_path / "narrow"))
    wide = open_checkpoint(export_point(study, 1, tmp_path / "wide", dtype="float32"))
    weights = front_of(study)[1].weights
    name = "model.layers.0.mlp.up_proj.weight"
    exact = sum(weights[task] * study.finetunes[task][name].double() for task in weights)
    assert torch.allclose(wide[name].double(), exact, rtol=1e-6, atol=1e-6)
    assert torch.equal(narrow[name], wide[name].bfloat16())
    assert not torch.equal(narrow[name].float(), wide[name])
    check_export(study, tmp_path / "wide")


def test_an_unknown_dtype_is_refused_before_any_work(tiny_run: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown dtype 'bfloat61' \(did you mean 'bfloat16'\?\)"):
        export_point(tiny_run, "chosen", tmp_path / "out", dtype="bfloat61")


def test_transformers_loads_a_language_model_with_its_generation_settings(language: Study, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = export_point(language, "chosen", tmp_path / "out")
    check = check_export(language, folder)
    assert (check.loaded_by, check.largest[1]) == ("transformers", 0.0)
    assert transformers.GenerationConfig.from_pretrained(folder).max_length == 12
    assert "LlamaForCausalLM.from_pretrained" in card_of(folder)
    assert "pipeline_tag: text-generation" in card_of(folder)
    assert "yadav2023ties" in card_of(folder)
    assert "density" in card_of(folder)


def test_a_configuration_that_does_not_describe_the_weights_is_noticed(language: Study, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = export_point(language, "chosen", tmp_path / "out")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(CheckpointError, match="transformers loads it as LlamaForCausalLM with missing keys"):
        check_export(language, folder)
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 33}))
    with pytest.raises(CheckpointError, match="transformers"):
        check_export(language, folder)


def test_adapters_are_exported_whole_and_as_an_adapter_with_equal_scores(adapters: Study, tmp_path: Path) -> None:
    whole = export_point(adapters, "chosen", tmp_path / "whole")
    assert check_export(adapters, whole).loaded_by == "transformers"
    export = export_adapter(adapters, "chosen", tmp_path / "adapter")
    assert (export.is_exact, export.rank) == (True, 5)
    check = check_export(adapters, export.folder)
    assert check.loaded_by == "peft"
    assert check.largest[1] < 1e-6
    assert (tmp_path / "adapter-weights.yaml").exists()
    assert {"tokenizer.json", "front.png", "adapter_config.json"} <= {file.name for file in export.folder.iterdir()}
    assert "hu2022lora" in card_of(whole)
    base = open_checkpoint(tmp_path / "whole")
    again = open_checkpoint(export.folder, adapters.base)
    assert all(torch.allclose(base[name], again[name], atol=1e-6) for name in base)


def test_adapters_on_a_base_in_half_precision_stay_exact(tmp_path: Path) -> None:
    study = adapter_study(tmp_path, torch.bfloat16)
    export = export_adapter(study, 2, tmp_path / "out")
    assert (export.is_exact, export.rank) == (True, 5)
    assert export.error < 1e-5
    assert check_export(study, export.folder).loaded_by == "peft"


@pytest.mark.parametrize(
    "settings", [{"groups": "layer", "enrich": "none"}, {"groups": "block", "location": "finetune"}]
)
def test_a_subspace_of_task_vectors_is_exact_as_an_adapter(tmp_path: Path, settings: dict[str, str]) -> None:
    study = adapter_study(tmp_path, posterior={"family": "subspace", "settings": settings})
    export = export_adapter(study, 2, tmp_path / "out")
    assert (export.is_exact, export.rank) == (True, 5)
    assert check_export(study, export.folder).largest[1] < 1e-5


def test_a_rank_is_kept_and_its_adapter_may_score_otherwise(adapters: Study, tmp_path: Path) -> None:
    export = export_adapter(adapters, "chosen", tmp_path / "out", rank=1)
    assert export.rank == 1
    assert export.error > 0.01
    assert "from before the merge was cut to a low rank" in card_of(export.folder)
    assert "model-index" not in card_of(export.folder)
    assert 0 < check_export(adapters, export.folder).largest[1] < 1


def test_whole_finetunes_are_no_adapters(tiny_run: Study, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter but a whole model"):
        export_adapter(tiny_run, "chosen", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_command_line_checks_and_says_what_it_wrote(adapters: Study, tmp_path: Path) -> None:
    run = adapters.folder.path
    answer = invoke("export", run, tmp_path / "a", "--adapter", "--check", "--json").json
    assert (answer["path"], answer["rank"], answer["exact"]) == (str(tmp_path / "a"), 5, True)
    assert answer["relative_error"] < 1e-6
    assert answer["check"]["loaded_by"] == "peft"
    assert answer["check"]["found"].keys() == answer["check"]["expected"].keys()
    shown = invoke("export", run, tmp_path / "a", "--adapter", "--rank", 2, "--check", "--overwrite")
    assert "LoRA adapter of rank 2 on 4 layers, relative error" in shown.out
    assert "loaded again by peft: the scores are the run's" in shown.out
    assert "Warning" not in shown.err  # of peft and transformers
    assert f"next: paretomerge verify {run} --points 3" in shown.out
    shown = invoke("export", run, tmp_path / "b", "--dtype", "float16")
    assert "the finetunes are adapters: --adapter writes the merge as one, too" in shown.out
    assert open_checkpoint(tmp_path / "b").spec("classifier.weight").dtype == torch.float16
    shown = invoke("export", run, tmp_path / "w.json", "--weights-only", "--point", 1)
    assert shown.out == f"{tmp_path / 'w.json'}: task weights\n"
    assert json.loads((tmp_path / "w.json").read_text())["sizes"] == {"a": 30, "b": 30}


def test_points_of_the_joint_front_are_exported_at_their_weights(own: Path, tmp_path: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(**QUICK)))
    front = estimate_run_front(study).front
    kept = front.as_dict() | {key: front.as_dict()[key][2:4] for key in ("weights", "values", "stdev", "origin")}
    run = study.folder.path
    assert invoke("export", run, tmp_path / "w.json", "--weights-only", "--joint", "--point", 1).code == 2
    with Journal(study.folder.journal) as journal:
        journal.note("joint_front", kept | {"recipe": digest_recipe(study.recipe)})
    assert invoke("export", run, tmp_path / "w.json", "--weights-only", "--joint", "--point", 1).code == 0
    assert json.loads((tmp_path / "w.json").read_text())["loss_weights"] == front[3].weights
    folder = Path(invoke("export", run, tmp_path / "out", "--joint", "--point", 1, "--json").json["path"])
    assert json.loads((folder / MANIFEST).read_text())["point"]["weights"] == front[3].weights
    assert f"- {front.objectives[0].name}: " in card_of(folder)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--adapter", "--mergekit"), "ask for one at a time"),
        (("--adapter", "--weights-only"), "ask for one at a time"),
        (("--rank", 3), "go with --adapter"),
        (("--tolerance", 0.1), "go with --adapter"),
        (("--adapter", "--rank", 3, "--tolerance", 0.1), "give one of them"),
        (("--mergekit", "--check"), "which hold weights"),
        (("--weights-only", "--dtype", "float16"), "which hold weights"),
        (("--adapter", "--tolerance", 2), r"tolerance in [0, 1)"),
        (("--weights-only",), "give one of these suffixes"),
        (("--point", "seven"), "not 'seven'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    adapters: Study, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    answer = invoke("export", adapters.folder.path, tmp_path / "out", *options)
    assert answer.code == 2
    assert expected in answer.err
    assert not (tmp_path / "out").exists()


def test_what_the_base_lacks_is_taken_from_a_finetune_and_said(own: Path, tmp_path: Path) -> None:
    (own / "ft-signs" / "tokenizer.json").write_text("{}")
    study = open_study(write_recipe(own, logged_recipe(front={"evaluations": 6, "points": 5})))
    said: list[str] = []
    folder = export_point(study, 0, tmp_path / "out", progress=said.append)
    assert (folder / "tokenizer.json").exists()
    sentence = "the base has no tokenizer: tokenizer.json is that of the finetune of 'signs'"
    assert sentence in said
    assert f"- {sentence}." in card_of(folder)


def test_a_weighting_off_the_front_is_exported_with_what_it_scores(tiny_run: Study, tmp_path: Path) -> None:
    weights = {"sums": 0.11, "signs": 0.22, "swaps": 0.67}
    folder = export_point(tiny_run, weights, tmp_path / "out")
    stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["point"]
    assert stored["id"] is None
    assert stored["weights"] == pytest.approx(weights)
    merged = next(iter(fit_run(tiny_run).models(np.array([[weights[task] for task in tiny_run.tasks]]))))
    for name, tensor in load_file(folder / "model.safetensors").items():
        torch.testing.assert_close(tensor, merged[name], rtol=0, atol=0)
    text = card_of(folder)
    assert f"{stored['values']['loss[sums]']:.6g} nats" in text
    assert "What it gives up" not in text
    assert (folder / "front.png").exists()
    check_export(tiny_run, folder)
    told = yaml.safe_load((tmp_path / "out-weights.yaml").read_text(encoding="utf-8"))
    assert told["loss_weights"] == pytest.approx(weights)


def test_weights_of_a_point_of_the_front_are_that_point(tiny_run: Study, tmp_path: Path) -> None:
    number = len(front_of(tiny_run)) - 1
    folder = export_point(tiny_run, front_of(tiny_run)[number].weights, tmp_path / "out")
    assert json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["point"]["id"] == number


def test_rounded_weights_sum_to_one_again_and_others_do_not(tiny_run: Study, tmp_path: Path) -> None:
    file = export_weights(tiny_run, dict.fromkeys(tiny_run.tasks, 0.333), tmp_path / "w.yaml")
    assert sum(yaml.safe_load(file.read_text(encoding="utf-8"))["loss_weights"].values()) == pytest.approx(1, abs=1e-12)
    with pytest.raises(WeightsError, match="sum"):
        export_weights(tiny_run, dict.fromkeys(tiny_run.tasks, 0.3), tmp_path / "other.yaml")
    with pytest.raises(WeightsError, match=r"unknown task 'sum' \(did you mean 'sums'\?\)"):
        export_weights(tiny_run, {"sum": 1.0}, tmp_path / "other.yaml")


def test_weights_need_no_front_and_estimate_none(tiny: Path, tmp_path: Path) -> None:
    study = open_study(write_recipe(tiny, recipe_of(**QUICK), "export.yaml"), tmp_path / "run")
    folder = export_point(study, {"sums": 1.0, "signs": 0.0, "swaps": 0.0}, tmp_path / "out")
    with study.folder.open_journal() as journal:
        assert journal.fact("front") is None
    assert not (folder / "front.png").exists()


def test_weights_beside_the_front_of_an_earlier_recipe_estimate_none(tiny: Path, tmp_path: Path) -> None:
    path = write_recipe(tiny, recipe_of(**QUICK), "export.yaml")
    estimate_run_front(open_study(path, tmp_path / "run"))
    held = tmp_path / "run" / "recipe.yaml"
    held.write_text(held.read_text(encoding="utf-8").replace("points: 6", "points: 7"), encoding="utf-8")
    study = open_study(tmp_path / "run")
    with study.folder.open_journal() as journal:
        before = journal.ledger()["front"].evaluations, journal.fact("front")
    export_point(study, {"sums": 1.0, "signs": 0.0, "swaps": 0.0}, tmp_path / "out")
    with study.folder.open_journal() as journal:
        assert (journal.ledger()["front"].evaluations, journal.fact("front")) == before


def test_weights_are_coordinates_where_the_front_is_one_over_coefficients(language: Study, tmp_path: Path) -> None:
    boxed = replace(
        language,
        recipe=language.recipe.model_copy(
            update={"front": language.recipe.front.model_copy(update={"domain": "coefficients", "bounds": (0.0, 1.0)})}
        ),
    )
    weights = dict.fromkeys(language.tasks, 0.7)
    folder = export_point(boxed, weights, tmp_path / "out")
    assert json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["point"]["weights"] == weights
    with pytest.raises(WeightsError, match=r"outside|between"):
        export_point(boxed, dict.fromkeys(language.tasks, 1.7), tmp_path / "far")


def test_an_adapter_and_a_mergekit_configuration_take_weights(adapters: Study, language: Study, tmp_path: Path) -> None:
    written = export_adapter(adapters, {"a": 0.3, "b": 0.7}, tmp_path / "adapter")
    stored = json.loads((written.folder / MANIFEST).read_text(encoding="utf-8"))["point"]
    assert stored["weights"] == pytest.approx({"a": 0.3, "b": 0.7})
    check_export(adapters, written.folder)
    weights = dict.fromkeys(language.tasks, 1 / len(language.tasks))
    text = export_mergekit(language, weights, tmp_path / "merge.yaml").read_text(encoding="utf-8")
    assert "ties" in text


def test_the_command_line_takes_weights_or_a_point(tiny_run: Study, tmp_path: Path) -> None:
    run, weights = tiny_run.folder.path, "sums=0.5,signs=0.25,swaps=0.25"
    answer = invoke("export", run, tmp_path / "w.json", "--weights", weights, "--weights-only", "--json")
    assert answer.json == {"path": str(tmp_path / "w.json")}
    written = json.loads((tmp_path / "w.json").read_text(encoding="utf-8"))
    assert written["loss_weights"] == {"sums": 0.5, "signs": 0.25, "swaps": 0.25}
    both = invoke("export", run, tmp_path / "out", "--weights", weights, "--point", "0")
    assert both.code == 2
    assert "--point and --weights both say which model" in both.err
    joint = invoke("export", run, tmp_path / "out", "--weights", weights, "--joint")
    assert joint.code == 2
    assert "leave out --joint" in joint.err


def test_task_weights_are_there_before_the_checkpoint_and_as_they_were_when_it_fails(
    tiny_run: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed in between has exported nothing that would stand in the way of the same command."""
    companion = tmp_path / "out-weights.yaml"
    seen: list[bool] = []

    def refuse(*given: object, **named: object) -> Path:
        seen.append(companion.exists())
        raise StorageError("the disk refused")

    monkeypatch.setattr("paretomerge.stages.exporting.export.export_checkpoint", refuse)
    for before in (None, b"mine"):
        if before is not None:
            companion.write_bytes(before)
        with pytest.raises(StorageError, match="the disk refused"):
            export_point(tiny_run, 0, tmp_path / "out")
        assert (companion.read_bytes() if companion.exists() else None) == before
    assert seen == [True, True]
