"""`paretomerge fit`: what it states, and that a killed fit goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.tiny import TASKS, files_below, invoke, read_params, recipe_of, start_cli, write_recipe

from paretomerge.checkpoints import holds_posterior, load_posterior, read_provenance, save_posterior
from paretomerge.merging import merge
from paretomerge.stages import estimate_fit, fit_run, open_study

SLOW = {"posterior": {"family": "subspace", "settings": {"groups": "layer", "centres": 2}, "damping": 0.1}}


def test_the_cost_is_stated_first(own: Path) -> None:
    answer = invoke("fit", own / "recipe.yaml")
    assert answer.code == 0
    first, second, *_ = answer.err.splitlines()
    assert " gradient passes, about " in first
    assert first.endswith("; the tasks have 144 examples")
    assert second.startswith("models and posteriors: ")
    assert "damping" in answer.out
    again = invoke("fit", own / "recipe.yaml")
    assert (again.code, again.err) == (0, "")


def test_the_cost_alone_measures_nothing(own: Path) -> None:
    answer = invoke("fit", own / "recipe.yaml", "--estimate", "--json")
    cost = estimate_fit(open_study(own / "recipe.yaml"))
    assert cost is not None
    stated = answer.json["estimate"]
    assert (stated["gradient_passes"], stated["memory"]) == (cost.gradient_passes, cost.memory)
    assert not (own / "recipe-run" / "posteriors").exists()
    assert "gradient passes, about" in invoke("fit", own / "recipe.yaml", "--estimate").out
    invoke("fit", own / "recipe.yaml")
    assert invoke("fit", own / "recipe.yaml", "--estimate").out == "there is nothing to measure\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "give a recipe, or --checkpoint DIR"),
        (("recipe.yaml", "--base", "b"), "--base goes with --checkpoint"),
        (("recipe.yaml", "--unclipped"), "--unclipped goes with --checkpoint"),
        (("recipe.yaml", "--checkpoint", "c"), "leave out RECIPE and --estimate"),
        (("--checkpoint", "c", "--base", "b"), "give --checkpoint DIR with --base DIR, --batch-size N and --out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...], expected: str) -> None:
    answer = invoke("fit", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert expected in answer.err


def test_a_killed_fit_goes_on_where_it_stopped(own: Path) -> None:
    """SIGKILL in the middle: what was measured stays measured, and the outcome is that of a fit left alone."""
    source = (own / "problem.py").read_text()
    slow = "\n".join(
        [
            "import time",
            "from pathlib import Path",
            "",
            "",
            "def data(task, split):",
            '    here = Path(__file__).with_name("slow.txt")',
            "    batches = quick(task, split)",
            "    return Slow(batches) if here.exists() else batches",
            "",
            "",
            "class Slow(list):",
            "    def __iter__(self):",
            "        time.sleep(0.1)",
            "        return super().__iter__()",
            "",
            "",
            "def problem():",
            "    return Problem(TASKS, build, data)",
        ]
    )
    (own / "problem.py").write_text(source.replace("def data(", "def quick(") + "\n\n" + slow + "\n")
    write_recipe(own, recipe_of(**SLOW))
    whole = invoke("fit", own / "recipe.yaml", "--out", own / "whole", "--json").json
    (own / "slow.txt").touch()
    process = start_cli("fit", "recipe.yaml", folder=own)
    pieces = own / "recipe-run" / "unfinished"
    deadline = time.monotonic() + 90
    while len(list(pieces.rglob("*.safetensors"))) < 4 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    stored = {path: path.stat().st_mtime_ns for path in pieces.rglob("0*.safetensors")}
    assert len(stored) >= 4
    assert not (own / "recipe-run" / "posteriors").exists()
    (own / "slow.txt").unlink()
    # One more interruption, now by the user, leaves the pieces of the first sitting untouched.
    resumed = invoke("fit", own / "recipe.yaml", "--json").json
    assert resumed["damping"] == whole["damping"]
    assert not pieces.exists()
    for number, task in enumerate(TASKS):
        name = f"posteriors/{number}-{task}.safetensors"
        one, other = (load_posterior(own / run / name) for run in ("whole", "recipe-run"))
        assert one.digest == other.digest


def make_trained(place: Path) -> Path:
    """A tiny classifier of transformers, three steps of AdamW from its base, saved with its optimizer's state."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=6, num_labels=2,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(place / "base")
    from paretomerge.curvature import trainer_groups

    decayed, others = trainer_groups(model)
    optimizer = torch.optim.AdamW([{"params": list(decayed.values())}, {"params": list(others.values())}], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=torch.randint(0, 11, (4, 5)), labels=torch.tensor([0, 1, 1, 0])).loss.backward()
        optimizer.step()
    model.save_pretrained(place / "checkpoint-3")
    torch.save(optimizer.state_dict(), place / "checkpoint-3" / "optimizer.pt")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    moments = {
        names[id(parameter)]: 4 * optimizer.state[parameter]["exp_avg_sq"] / (1 - 0.999**3)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    torch.save(moments, place / "expected.pt")
    return place


def test_one_finetune_is_fitted_from_its_optimizer_and_merged(tmp_path: Path) -> None:
    place = make_trained(tmp_path)
    expected = torch.load(place / "expected.pt", weights_only=True)
    where = ("--checkpoint", place / "checkpoint-3", "--base", place / "base", "--batch-size", 4)
    answer = invoke("fit", *where, "--out", place / "a.safetensors", "--json")
    assert answer.json["provenance"]["route"] == "adam"
    assert answer.json["provenance"]["units"] == "relative"
    posterior = load_posterior(place / "a.safetensors")
    assert set(posterior.blocks()) == set(expected)
    finetune = read_params(place / "checkpoint-3")
    for name, moment in expected.items():
        natural = posterior.natural(name)
        torch.testing.assert_close(natural.precision, moment, rtol=1e-6, atol=0)
        assert torch.equal(natural.mean, finetune[name])
    shown = invoke("fit", *where, "--unclipped", "--out", place / "b.safetensors")
    assert "adam" in shown.out
    assert shown.err == ""  # nor a progress bar of transformers
    tasks = ("--task", f"a={place / 'a.safetensors'}")
    merged = invoke("merge", place / "merged", "--base", place / "base", *tasks, "--weights", "a=1", "--json")
    assert merged.code == 0
    found = read_params(place / "merged")
    for name in expected:
        torch.testing.assert_close(found[name], finetune[name], rtol=1e-6, atol=0)  # (h m) / h is rounded
    assert json.loads(json.dumps(merged.json["warnings"])) == []


def test_a_finetune_without_a_state_or_of_another_base_is_refused(tmp_path: Path) -> None:
    place = make_trained(tmp_path)
    other = place / "other"
    from paretomerge.checkpoints import write_params

    write_params(other, {"w": torch.ones(2)})
    out = ("--batch-size", 4, "--out", place / "a.safetensors")
    answer = invoke("fit", "--checkpoint", place / "checkpoint-3", "--base", other, *out)
    assert answer.code == 2
    assert "which the base" in answer.err
    assert not (place / "a.safetensors").exists()
    answer = invoke("fit", "--checkpoint", place / "base", "--base", place / "base", *out)
    assert (answer.code, "there is no such file" in answer.err) == (2, True)
    answer = invoke("fit", "--checkpoint", other, "--base", place / "base", *out)
    assert answer.code == 2
    assert "cannot be loaded by transformers" in answer.err
    answer = invoke("fit", "--checkpoint", place, "--base", place / "base", *out)
    assert answer.code == 2
    assert f"{place / 'checkpoint-3'} has one: give --checkpoint {place / 'checkpoint-3'}" in answer.err
    (place / "checkpoint-3" / "adapter_config.json").write_text("{}")
    answer = invoke("fit", "--checkpoint", place / "checkpoint-3", "--base", place / "base", *out)
    assert (answer.code, "is an adapter: load it as it was trained" in answer.err) == (2, True)
    assert not any(holds_posterior(place / path) for path in files_below(place))


@pytest.mark.parametrize("family", ["diagonal", "kronecker", "low_rank"])
def test_fitted_files_merge_on_the_command_line_as_their_posteriors_do_in_memory(own: Path, family: str) -> None:
    """From data to files to a merged checkpoint: the same numbers as `merge` of what was fitted."""
    write_recipe(own, recipe_of(posterior={"family": family, "damping": 0.1}))
    assert invoke("fit", own / "recipe.yaml").code == 0
    fitted = fit_run(open_study(own / "recipe-run"))
    posteriors = fitted.curvatures.posteriors(0.1)
    files = {}
    for number, (task, posterior) in enumerate(posteriors.items()):
        origin = read_provenance(own / "recipe-run" / "posteriors" / f"{number}-{task}.safetensors")
        assert origin is not None
        files[task] = save_posterior(own / f"{task}.safetensors", posterior, replace(origin, damping=0.1))
    tasks = [text for task, path in files.items() for text in ("--task", f"{task}={path}")]
    weights = {"sums": 0.5, "signs": 0.3, "swaps": 0.2}
    given = ",".join(f"{task}={weight}" for task, weight in weights.items())
    answer = invoke("merge", own / "merged", "--base", own / "base", *tasks, "--weights", given, "--json")
    assert answer.json["warnings"] == []
    expected = merge(posteriors, weights, base=read_params(own / "base"))
    found = read_params(own / "merged")
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-8)
    assert "everything fits" in invoke("check", "--base", own / "base", *tasks).out
