"""The exported code, executed as it stands in the file: its gradients are those of `Σ_t alpha_t · mean loss of t`."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
import yaml
from torch import nn
from torch.nn.functional import cross_entropy

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.exports import export_task_weights

ALPHA = {"few": 0.7, "many": 0.3, "none": 0.0}
COUNTS = {"few": 2, "many": 5, "none": 1}
NUMBERS = [number for number, count in enumerate(COUNTS.values()) for _ in range(count)]


class Classifier(nn.Module):
    """Called as transformers calls its models."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3, dtype=torch.float32)

    def forward(self, inputs, labels=None):
        logits = self.layer(inputs)
        loss = None if labels is None else cross_entropy(logits, labels)
        return Outputs(loss=loss, logits=logits)


class Outputs(dict):
    @property
    def logits(self):
        return self["logits"]


def examples():
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "inputs": torch.randn(4, generator=generator),
            "labels": torch.randint(0, 3, (), generator=generator),
            "task": torch.tensor(number),
        }
        for number in NUMBERS
    ]


def stacked(rows):
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def gradient(model, loss):
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(model.parameters()))])


def wanted(model, alpha):
    """`∇ Σ_t alpha_t · mean loss of task t` over all data."""
    loss = 0.0
    for number, task in enumerate(ALPHA):
        batch = stacked([row for row in examples() if int(row["task"]) == number])
        loss = loss + alpha[task] * model(batch["inputs"], batch["labels"])["loss"]
    return gradient(model, loss)


@pytest.fixture(params=["weights.yaml", "weights.json"])
def snippets(request, tmp_path, monkeypatch):
    path = export_task_weights(tmp_path / request.param, ALPHA, COUNTS)
    monkeypatch.chdir(tmp_path)
    text = path.read_text()
    return (json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))["snippets"]


def run(code):
    names = {}
    exec(compile(code, "snippet", "exec"), names)
    return names


def test_the_three_ways_agree_about_sizes(tmp_path):
    content = yaml.safe_load(export_task_weights(tmp_path / "w.yaml", ALPHA, COUNTS).read_text())
    total = sum(COUNTS.values())
    for task, size in COUNTS.items():
        assert content["example_weights"][task] * size / total == pytest.approx(ALPHA[task])
        assert content["repeat_factors"][task] == pytest.approx(content["example_weights"][task])


def test_a_plain_step_is_a_step_along_the_weighted_gradient(snippets):
    model = Classifier()
    expected = wanted(model, ALPHA)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    rows = examples()
    batches = {task: stacked([row for row in rows if int(row["task"]) == number]) for number, task in enumerate(ALPHA)}
    del batches["none"]  # a task without weight needs no batch
    step = run(snippets["plain_loop"])["weighted_step"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = [
        step(model, batches, lambda module, batch: module(batch["inputs"], batch["labels"])["loss"], optimizer)
        for _ in range(2)
    ]
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    assert losses[1] < losses[0]
    model.load_state_dict(Classifier().state_dict())
    one = nn.utils.parameters_to_vector(model.parameters()).detach() - 0.5 * expected
    nn.utils.vector_to_parameters(one, model.parameters())
    assert torch.allclose(after, one - 0.5 * wanted(model, ALPHA), atol=1e-6)
    assert not torch.allclose(after, before)


def arguments(tmp_path, **settings):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    return transformers.TrainingArguments(
        output_dir=str(tmp_path),
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        remove_unused_columns=False,
        **settings,
    )


def trainer_of(snippets, name, tmp_path, optimizer=None, model=None, dataset=None, **settings):
    found = run(snippets[name])
    model = model or Classifier()
    kind = found["WeightedTrainer" if name == "trainer_loss_weights" else "SampledTrainer"]
    schedule = None if optimizer is None else torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    return kind(
        model=model,
        args=arguments(tmp_path, **settings),
        train_dataset=dataset or examples(),
        data_collator=stacked,
        optimizers=(optimizer, schedule),
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_trainer_s_weighted_loss_is_unbiased_over_all_batches(snippets, tmp_path, size):
    trainer = trainer_of(snippets, "trainer_loss_weights", tmp_path)
    model = trainer.model.train()
    rows = examples()
    gradients = [
        gradient(model, trainer.compute_loss(model, stacked([rows[i] for i in chosen])))
        for chosen in itertools.combinations(range(len(rows)), size)
    ]
    assert torch.allclose(torch.stack(gradients).mean(0), wanted(model, ALPHA), atol=1e-6)


def test_evaluation_losses_stay_plain_means(snippets, tmp_path):
    trainer = trainer_of(snippets, "trainer_loss_weights", tmp_path)
    batch = stacked(examples())
    loss, outputs = trainer.compute_loss(trainer.model.eval(), batch, return_outputs=True)
    assert torch.allclose(loss, cross_entropy(outputs.logits, batch["labels"]))
    assert "task" in batch  # the batch is left as it came
    assert "labels" in batch


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_trainer_takes_the_weighted_step_with_any_accumulation(snippets, tmp_path, accumulate):
    """One step over all data, in pieces of one size: the analytic gradient, whatever is accumulated."""
    model = Classifier()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    expected = wanted(model, ALPHA)
    trainer = trainer_of(
        snippets, "trainer_loss_weights", tmp_path, torch.optim.SGD(model.parameters(), lr=0.5), model,
        per_device_train_batch_size=8 // accumulate, gradient_accumulation_steps=accumulate, max_steps=1,
        max_grad_norm=0.0,
    )  # fmt: skip
    trainer.train()
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    assert torch.allclose(after, before - 0.5 * expected, atol=1e-6)


def test_a_model_that_takes_a_number_of_items_is_not_counted_twice(snippets, tmp_path):
    class Counting(Classifier):
        def forward(self, inputs, labels=None, **loss_kwargs):
            return super().forward(inputs, labels)

    model = Counting()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    expected = wanted(Classifier(), ALPHA)
    trainer = trainer_of(
        snippets, "trainer_loss_weights", tmp_path, torch.optim.SGD(model.parameters(), lr=0.5), model,
        per_device_train_batch_size=4, gradient_accumulation_steps=2, max_steps=1, max_grad_norm=0.0,
    )  # fmt: skip
    trainer.train()
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    assert torch.allclose(after, before - 0.5 * expected, atol=1e-6)


def test_sampling_draws_every_task_with_its_proportion_and_leaves_the_loss_alone(snippets, tmp_path):
    trainer = trainer_of(snippets, "trainer_sampling", tmp_path)
    model = trainer.model.train()
    sampler = trainer._get_train_sampler()
    chances = sampler.weights / sampler.weights.sum()
    for number, task in enumerate(ALPHA):
        mine = torch.tensor([n == number for n in NUMBERS])
        assert float(chances[mine].sum()) == pytest.approx(ALPHA[task])
    rows = examples()
    expected = sum(
        float(chance) * gradient(model, model(**{key: row[key][None] for key in ("inputs", "labels")})["loss"])
        for chance, row in zip(chances, rows, strict=True)
    )
    assert torch.allclose(expected, wanted(model, ALPHA), atol=1e-6)
    assert sampler.replacement
    assert len(list(sampler)) == len(rows)
    assert list(trainer._get_train_sampler()) == list(trainer._get_train_sampler())  # the same on all devices


@pytest.mark.parametrize("name", ["trainer_loss_weights", "trainer_sampling"])
def test_a_task_with_weight_and_without_examples_is_an_error(snippets, tmp_path, name):
    only_many = [row for row in examples() if int(row["task"]) == 1]
    with pytest.raises(ValueError, match="'few': 0"):
        trainer_of(snippets, name, tmp_path, dataset=only_many)._get_train_sampler()


def test_losses_of_language_models_are_means_over_the_tokens_of_each_example(snippets):
    pytest.importorskip("transformers")
    losses = run(snippets["trainer_loss_weights"])["example_losses"]
    logits = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, 3, 4, 0, 1], [-100, -100, 2, 1, -100, -100], [-100, -100, -100, 1, 2, 3]])
    assert torch.allclose(losses(logits, labels), likelihood_of("causal").losses(logits, labels), atol=1e-6)
    assert torch.isfinite(losses(logits, torch.full((3, 6), -100))).all()
