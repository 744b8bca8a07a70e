"""Real runs of the Trainer, and what they leave behind."""

from __future__ import annotations

import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training.trainer.tiny_runs import Classified, Texts, batch_of, bert, gpt2, lora, run

from paretomerge.checkpoints import load_posterior, open_checkpoint, read_provenance
from paretomerge.curvature import LossModel, average, diagonal_fisher
from paretomerge.errors import DataError, RecipeError, TrainingError
from paretomerge.merging import merge
from paretomerge.posteriors import damp
from paretomerge.training import Ivon, ivon_trainer
from paretomerge.training.trainer import PosteriorCallback, optimizer_posterior


def squares_by_hand(model, data, steps, rate, max_norm, labels=1):
    """The twin: plain SGD over `steps`, each a list of micro-batches of rows."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    for micro_batches in steps:
        means = []
        for rows in micro_batches:
            loss = model(**batch_of(data, rows)).loss
            means.append(torch.autograd.grad(loss, list(named.values()), allow_unused=True))
        examples = sum(map(len, micro_batches))
        # What the Trainer steps with for this model: the sum over micro-batches, then clipped.
        sums = [sum(parts) for parts in zip(*means, strict=True)]
        norm = torch.stack([gradient.norm() for gradient in sums]).norm()
        shrink = min(1.0, max_norm / float(norm + 1e-6))
        for (name, parameter), gradient in zip(named.items(), sums, strict=True):
            mean = gradient.detach() / len(micro_batches)
            total[name] += labels * examples * mean**2
            parameter.data -= rate * shrink * gradient.detach()
    return {name: value / len(steps) for name, value in total.items()}


def require_close(found, expected, rtol=1e-3):
    """Equal but for rounding; gradients that are zero in theory, as those of BERT's key biases, are all rounding."""
    assert set(found) == set(expected)
    largest = max(float(value.detach().abs().max()) for value in expected.values())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=rtol, atol=rtol * 1e-9 * largest), name


def test_squared_gradients_are_those_of_a_loop_by_hand(tmp_path):
    """Several epochs, clipping at every step, accumulation, and a last step of an epoch with fewer examples."""
    data, model = Classified(10), bert()
    callback = PosteriorCallback()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    trainer = run(
        tmp_path,
        model,
        data,
        callback,
        optimizer=optimizer,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        max_grad_norm=0.05,
    )
    twin = bert()
    epoch = [[range(4), range(4, 8)], [range(8, 10)]]
    expected = squares_by_hand(twin, data, epoch * 2, 0.5, 0.05)
    found = load_posterior(tmp_path / "posterior.safetensors")
    require_close(found.precision, expected)
    require_close(dict(model.named_parameters()), dict(twin.named_parameters()))
    require_close(found.mean, dict(trainer.model.named_parameters()), 0)
    said = read_provenance(callback.written)
    assert (said.route, said.location, said.examples) == ("squared gradients", "trajectory", 20)
    assert said.units == "mean"
    assert "steps=4" in said.settings
    trainer.save_model()
    assert set(found.mean) <= set(open_checkpoint(tmp_path))


@pytest.mark.parametrize(("make", "data"), [(bert, Classified(16)), (gpt2, Texts(16))], ids=["bert", "gpt2"])
def test_accumulated_gradients_have_the_scale_of_whole_batches(tmp_path, make, data):
    """BERT's classifiers leave their micro-batches added up, GPT-2 averages them: both give one scale."""
    whole, parts = PosteriorCallback(), PosteriorCallback()
    fixed = {"learning_rate": 0.0, "max_grad_norm": 1e-2}
    run(tmp_path / "whole", make(), data, whole, per_device_train_batch_size=8, **fixed)
    run(tmp_path / "parts", make(), data, parts, gradient_accumulation_steps=2, **fixed)
    first, second = (load_posterior(callback.written).precision for callback in (whole, parts))
    require_close(dict(first), dict(second))
    assert sum(float(value.sum()) for value in first.values()) > 0


def test_bfloat16_gives_the_same_squares_but_for_rounding(tmp_path):
    exact, rounded = PosteriorCallback(), PosteriorCallback()
    run(tmp_path / "32", bert(), Classified(16), exact)
    run(tmp_path / "16", bert(), Classified(16), rounded, bf16=True)
    first, second = (load_posterior(callback.written).precision for callback in (exact, rounded))
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    difference = float((first[name] - second[name]).abs().sum() / first[name].sum())
    assert 0 < difference < 0.1


def test_squares_are_collected_since_a_fraction_of_the_training(tmp_path):
    callback = PosteriorCallback(since=0.5)
    run(tmp_path, bert(), Classified(16), callback, learning_rate=0.0)
    expected = squares_by_hand(bert(), Classified(16), [[range(8, 12)], [range(12, 16)]], 0.0, 1e9)
    require_close(load_posterior(callback.written).precision, expected)


def test_an_adapter_of_a_language_model_is_scaled_by_its_labels_and_named_as_in_its_file(tmp_path):
    """Six tokens of which four have labels."""
    data, callback = Texts(8), PosteriorCallback()
    model = lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True)
    trainer = run(tmp_path, model, data, callback, learning_rate=0.0)
    trainer.save_model()
    found = load_posterior(callback.written)
    require_close(dict(found.mean), load_file(tmp_path / "adapter_model.safetensors"), 0)
    twin = lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True)
    expected = squares_by_hand(twin, data, [[range(4)], [range(4, 8)]], 0.0, 1e9, labels=4)
    require_close(found.precision, {name.replace(".default", ""): value for name, value in expected.items()})


def test_adam_is_read_live_as_from_the_file_it_leaves(tmp_path):
    """In the file parameters go by number, biases and normalisations last."""
    model, callback = bert(), PosteriorCallback("adam")
    run(tmp_path, model, Classified(16), callback, save_strategy="steps", save_steps=4, adam_beta2=0.9)
    live = load_posterior(callback.written)
    read = optimizer_posterior(tmp_path / "checkpoint-4", model, batch_size=4)
    require_close(dict(live.precision), dict(read.precision), 0)
    require_close(dict(live.mean), dict(model.named_parameters()), 0)
    assert read_provenance(callback.written).units == "mean"
    run(tmp_path / "clipped", bert(), Classified(8), clipped := PosteriorCallback("adam"), max_grad_norm=1.0)
    assert read_provenance(clipped.written).units == "relative"


def test_adam_holds_the_bias_corrected_squares_times_the_labels_of_a_step(tmp_path):
    callback = PosteriorCallback("adam")
    run(tmp_path, bert(), Classified(8), callback, learning_rate=0.0, adam_beta2=0.5)
    one, two = (squares_by_hand(bert(), Classified(8), [[rows]], 0.0, 1e9) for rows in (range(4), range(4, 8)))
    expected = {name: (one[name] / 4 + two[name] / 2) / (3 / 4) for name in one}
    require_close(load_posterior(callback.written).precision, expected)


def test_adam_is_scaled_back_where_micro_batches_are_added(tmp_path):
    whole, parts = PosteriorCallback("adam"), PosteriorCallback("adam")
    run(tmp_path / "whole", bert(), Classified(16), whole, per_device_train_batch_size=8, learning_rate=0.0)
    run(tmp_path / "parts", bert(), Classified(16), parts, gradient_accumulation_steps=2, learning_rate=0.0)
    first, second = (load_posterior(callback.written).precision for callback in (whole, parts))
    require_close(dict(first), dict(second))


@pytest.mark.parametrize("make", ["bert", "gpt2 with an adapter"])
def test_a_fisher_pass_is_the_diagonal_fisher_of_the_trained_model(tmp_path, make):
    """All examples, so that their order does not matter; the model trains on as if nothing had happened."""
    if make == "bert":
        model, data, likelihood = bert(), Classified(10, extra=True), "categorical"
    else:
        model, data, likelihood = lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True), Texts(10), "causal"
    callback = PosteriorCallback("empirical_fisher")
    trainer = run(tmp_path, model, data, callback)
    assert trainer.model.training
    found = load_posterior(callback.written)
    batch = batch_of(data, range(10))
    targets = batch.pop("labels")
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    twin = LossModel.of(model, likelihood)
    expected = diagonal_fisher(twin, state, [(batch, targets)], "empirical").diagonal
    require_close(dict(found.precision), {name.replace(".default", ""): value for name, value in expected.items()})
    said = read_provenance(callback.written)
    assert (said.route, said.location, said.examples) == ("empirical fisher", "finetune", 10)


def test_a_fisher_pass_takes_another_data_set_and_fewer_examples(tmp_path):
    other = Classified(12, seed=3, extra=True)
    callback = PosteriorCallback("fisher", dataset=other, examples=7, seed=5)
    run(tmp_path, bert(), Classified(8), callback)
    assert read_provenance(callback.written).examples == 7
    again = PosteriorCallback("fisher", dataset=other, examples=7, seed=5)
    run(tmp_path / "again", bert(), Classified(8), again)
    assert load_posterior(callback.written).digest == load_posterior(again.written).digest


@pytest.mark.parametrize("accumulated", [1, 2])
def test_ivon_hands_over_the_curvature_it_learned(tmp_path, accumulated):
    """BERT's classifiers leave micro-batches added up, and curvature with them."""
    model, callback = bert(), PosteriorCallback("ivon")
    optimizer = Ivon(model.named_parameters(), lr=0.1, ess=16, hess_init=0.5, betas=(0.9, 0.9))
    settings = {"gradient_accumulation_steps": accumulated}
    run(tmp_path, model, Classified(16), callback, kind=ivon_trainer(), optimizer=optimizer, **settings)
    found = load_posterior(callback.written)
    learned = optimizer.posterior(model.named_parameters()).precision
    require_close(dict(found.precision), {name: value / accumulated for name, value in learned.items()}, 0)
    said = read_provenance(callback.written)
    assert said.route == "ivon"
    assert "ess=16" in said.settings


ROUTES = [
    PosteriorCallback("squared_gradients", each_save=True),
    PosteriorCallback("adam", each_save=True),
    PosteriorCallback("fisher", each_save=True),
]


@pytest.mark.parametrize("callback", ROUTES, ids=lambda callback: callback.route)
def test_training_with_a_callback_is_the_training_without(tmp_path, callback):
    """Random order, dropout, data that draws, clipping, a Fisher pass in the middle: the same to the last bit."""
    settings = {
        "train_sampling_strategy": "random",
        "save_strategy": "epoch",
        "num_train_epochs": 2,
        "max_grad_norm": 0.1,
    }
    plain = run(tmp_path / "plain", bert(hidden_dropout_prob=0.1), Classified(8, noisy=True), **settings)
    noted = run(tmp_path / "noted", bert(hidden_dropout_prob=0.1), Classified(8, noisy=True), callback, **settings)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(noted.model.state_dict()[name], value), name
    assert not any(parameter._post_accumulate_grad_hooks for parameter in noted.model.parameters())
    for step in (2, 4):
        assert load_posterior(tmp_path / "noted" / f"checkpoint-{step}" / "posterior.safetensors")


def test_what_fails_after_training_is_a_warning_and_the_finetune_stays(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    callback = PosteriorCallback(path=blocked / "posterior.safetensors")
    with pytest.warns(UserWarning, match="no posterior was written to .*posterior.safetensors: .*StorageError"):
        trainer = run(tmp_path / "run", bert(), Classified(8), callback)
    assert callback.written is None
    assert callback.failure is not None
    assert trainer.state.global_step == 2


def test_two_finetunes_merge_by_the_posteriors_they_wrote(tmp_path):
    """Fisher-weighted averaging, element by element, of what two runs of one base left."""
    posteriors = {}
    for seed in (0, 1):
        callback = PosteriorCallback()
        run(tmp_path / str(seed), bert(), Classified(16, seed=seed), callback, num_train_epochs=2)
        posteriors[f"task {seed}"] = load_posterior(callback.written)
    damped = damp(posteriors, 0.1)
    merged = merge(damped, [0.5, 0.5])
    one, two = damped.values()
    for name, value in one.mean.items():
        h, k = one.precision[name].double(), two.precision[name].double()
        expected = (h * value.double() + k * two.mean[name].double()) / (h + k)
        assert torch.allclose(merged[name].double(), expected, atol=1e-6), name
    plain = average({task: posterior.mean for task, posterior in posteriors.items()})
    assert any(not torch.allclose(merged[name], plain[name], atol=1e-5) for name in plain)
    model = bert()
    assert not model.load_state_dict({**model.state_dict(), **merged}).unexpected_keys


def test_merged_posteriors_of_adapters_are_an_adapter(tmp_path):
    """The merged mean, saved beside adapter_config.json, opens on the base as any adapter does."""
    base = gpt2()
    base.save_pretrained(tmp_path / "base")
    posteriors = {}
    for seed in (0, 1):
        callback = PosteriorCallback("fisher", base=tmp_path / "base")
        model = lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True)
        trainer = run(tmp_path / str(seed), model, Texts(8, seed=seed), callback)
        trainer.save_model()
        posteriors[f"task {seed}"] = load_posterior(callback.written)
    assert read_provenance(callback.written).base == open_checkpoint(tmp_path / "base").digest
    merged = merge(damp(posteriors, 0.1), [0.5, 0.5])
    save_file({name: tensor.contiguous() for name, tensor in merged.items()}, tmp_path / "0/adapter_model.safetensors")
    opened = open_checkpoint(tmp_path / "0", tmp_path / "base")
    weight = "transformer.h.0.attn.c_attn.weight"
    a, b = (merged[f"base_model.model.transformer.h.0.attn.c_attn.lora_{part}.weight"] for part in "AB")
    expected = open_checkpoint(tmp_path / "base")[weight] + 2 * (b @ a).T
    assert torch.allclose(opened[weight], expected, atol=1e-6)


@pytest.mark.slow
def test_a_compiled_model_is_named_as_it_is_saved(tmp_path):
    callback, plain = PosteriorCallback(), PosteriorCallback()
    run(tmp_path, bert(), Classified(8), callback, torch_compile=True, torch_compile_backend="eager", max_grad_norm=0.1)
    run(tmp_path / "plain", bert(), Classified(8), plain, max_grad_norm=0.1)
    found, expected = (load_posterior(written.written).precision for written in (callback, plain))
    require_close(dict(found), dict(expected))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"route": "squared_gradient"}, "did you mean 'squared_gradients'"),
        ({"route": "adam", "examples": 5}, "route='adam' makes no use of examples"),
        ({"route": "squared_gradients", "dataset": [1]}, "makes no use of dataset"),
        ({"route": "fisher", "since": 0.5}, "makes no use of since"),
        ({"since": 1.0}, "fraction of the training"),
        ({"route": "fisher", "examples": 0}, "at least 1"),
        ({"path": "out"}, "path='out' must be the file to write, with the suffix .safetensors"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        PosteriorCallback(**settings)


def test_what_cannot_work_is_refused_before_training(tmp_path):
    with pytest.raises(TrainingError, match="route='ivon' needs the optimizer Ivon, and this run has AdamW"):
        run(tmp_path, bert(), Classified(8), PosteriorCallback("ivon"))
    with pytest.raises(DataError, match=r"unknown likelihood 'causl' \(did you mean 'causal'"):
        PosteriorCallback("fisher", likelihood="causl")
    model = bert()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TrainingError, match="route='adam' takes the second moments of Adam, and SGD keeps none"):
        run(tmp_path, model, Classified(8), PosteriorCallback("adam"), optimizer=sgd)
    optimizer = Ivon(model.named_parameters(), lr=0.1, ess=16)
    with pytest.raises(TrainingError, match="choose route='ivon'"):
        run(tmp_path, model, Classified(8), PosteriorCallback(), kind=ivon_trainer(), optimizer=optimizer)


def test_the_folder_that_a_model_was_loaded_from_is_its_base(tmp_path):
    bert().save_pretrained(tmp_path / "base")
    model = type(bert()).from_pretrained(tmp_path / "base")
    run(tmp_path / "out", model, Classified(8), callback := PosteriorCallback())
    said = read_provenance(callback.written)
    assert said.base == open_checkpoint(tmp_path / "base").digest
    assert said.base_name == "base"
    # A model that is trained in place has no base any more when training ends.
    model = type(bert()).from_pretrained(tmp_path / "base")
    run(tmp_path / "base", model, Classified(8), callback := PosteriorCallback())
    assert read_provenance(callback.written).base == ""
    run(tmp_path / "new", bert(), Classified(8), callback := PosteriorCallback())
    assert read_provenance(callback.written).base == ""


def test_a_model_whose_likelihood_is_not_known_says_so_in_the_warning(tmp_path):
    model = bert()
    model.config.problem_type = "multi_label_classification"
    data = [{**row, "labels": torch.eye(3)[row["labels"]]} for row in (Classified(4)[i] for i in range(4))]
    with pytest.warns(UserWarning, match="the likelihood of a BertForSequenceClassification is not known here"):
        run(tmp_path, model, data, PosteriorCallback("fisher"))


def test_accumulation_that_cannot_be_looked_into_is_warned_about(tmp_path, monkeypatch):
    import paretomerge.training.trainer.callback as edge

    def broken(*arguments):
        raise ValueError("no labels")

    monkeypatch.setattr(edge, "adds_micro_batches", broken)
    with pytest.warns(UserWarning, match="taken for averaged; if they are not, the precision is 2² times too large"):
        run(tmp_path, bert(), Classified(8), PosteriorCallback(), gradient_accumulation_steps=2)


def test_nothing_else_warns(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="paretomerge")
        run(tmp_path, bert(), Classified(8), callback := PosteriorCallback("fisher"))
    assert callback.failure is None
