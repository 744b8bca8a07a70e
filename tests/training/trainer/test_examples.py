from __future__ import annotations

import types

import pytest
import torch
from tests.training.trainer.tiny_runs import Classified, Texts, batch_of, bert, gpt2, lora, transformers
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from paretomerge.errors import DataError
from paretomerge.training.trainer.examples import TrainerExamples, adds_micro_batches, likelihood_name

ARGUMENTS = types.SimpleNamespace(label_names=None, remove_unused_columns=True, per_device_train_batch_size=4)


def examples_of(dataset, model=None, **changes):
    arguments = types.SimpleNamespace(**(vars(ARGUMENTS) | changes))
    loader = DataLoader(Classified(3), batch_size=2, collate_fn=transformers.default_data_collator)
    return TrainerExamples.of(loader, model or bert(), arguments, dataset)


def rows_of(batches):
    return sorted(tuple(row) for inputs, _ in batches for row in inputs["input_ids"].tolist())


def test_all_examples_come_once_without_what_the_model_does_not_take():
    data = Classified(10, extra=True)
    batches = list(examples_of(data).batches(None))
    assert [len(targets) for _, targets in batches] == [4, 4, 2]
    assert rows_of(batches) == sorted(map(tuple, data.tokens.tolist()))
    assert all(set(inputs) == {"input_ids", "attention_mask"} for inputs, _ in batches)
    by_row = {tuple(row): int(label) for row, label in zip(data.tokens.tolist(), data.labels, strict=True)}
    for inputs, targets in batches:
        assert [by_row[tuple(row)] for row in inputs["input_ids"].tolist()] == targets.tolist()


def test_a_choice_is_random_and_repeatable():
    data = Classified(40)
    first, again, other = (rows_of(examples_of(data).batches(6, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == len(other) == 6
    assert first != sorted(map(tuple, data.tokens[:6].tolist()))


def test_the_own_data_of_the_loader_is_the_default():
    assert rows_of(examples_of(None).batches(None)) == sorted(map(tuple, Classified(3).tokens.tolist()))


def test_examples_without_numbers_are_read_from_the_first():
    class Stream(IterableDataset):
        def __iter__(self):
            return (Classified(10)[i] for i in range(10))

    batches = list(examples_of(Stream()).batches(6))
    assert torch.equal(torch.cat([inputs["input_ids"] for inputs, _ in batches]), Classified(10).tokens[:6])
    assert len(list(examples_of(Stream()).batches(None))) == 3


def test_batches_without_labels_say_how_they_may_be_called():
    data = [{"input_ids": torch.ones(5, dtype=torch.long)}]
    with pytest.raises(DataError, match="have no 'labels', only 'input_ids': set label_names"):
        list(examples_of(data).batches(None))
    named = [{"input_ids": torch.ones(5, dtype=torch.long), "answer": 1}]
    [(_, targets)] = examples_of(named, label_names=["answer"]).batches(None)
    assert targets.tolist() == [1]


def test_columns_stay_when_the_trainer_keeps_them():
    data = [{"input_ids": torch.ones(5, dtype=torch.long), "labels": 1, "weight": 2.0}]
    [(inputs, _)] = examples_of(data, remove_unused_columns=False).batches(None)
    assert inputs["weight"].tolist() == [2.0]
    [(inputs, _)] = examples_of(data).batches(None)
    assert "weight" not in inputs


def t5():
    config = transformers.T5Config(
        vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def test_decoders_get_the_inputs_they_make_of_labels():
    model = t5().eval()
    data = [{"input_ids": torch.arange(1, 6), "labels": torch.tensor([3, 4, 1])}]
    [(inputs, targets)] = examples_of(data, model).batches(None)
    assert inputs["decoder_input_ids"].tolist() == [[0, 3, 4]]
    with torch.no_grad():
        outputs = model(**inputs).logits
        expected = model(input_ids=inputs["input_ids"], labels=targets).logits
    assert torch.equal(outputs, expected)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (bert(), "categorical"),
        (bert(num_labels=1), "gaussian"),
        (bert(problem_type="regression"), "gaussian"),
        (gpt2(), "causal"),
        (lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True), "causal"),
        (transformers.BertForTokenClassification(bert().config), "tokens"),
        (transformers.BertForMaskedLM(bert().config), "tokens"),
        (t5(), "tokens"),
    ],
    ids=["classifier", "one label", "regression", "causal", "adapter", "tagger", "masked", "sequence to sequence"],
)
def test_a_model_of_transformers_says_its_likelihood(model, name):
    assert likelihood_name(model) == name


@pytest.mark.parametrize(
    "model", [bert(problem_type="multi_label_classification"), nn.Linear(2, 2), transformers.BertModel(bert().config)]
)
def test_others_must_be_told(model):
    with pytest.raises(DataError, match=f"the likelihood of a {type(model).__name__} is not known here"):
        likelihood_name(model)


def test_models_that_ignore_the_number_of_labels_are_found():
    assert adds_micro_batches(bert(), batch_of(Classified(4), range(2)))
    assert not adds_micro_batches(gpt2(), batch_of(Texts(4), range(2)))
    adapted = lora(gpt2(), target_modules=["c_attn"], fan_in_fan_out=True)
    assert not adds_micro_batches(adapted, batch_of(Texts(4), range(2)))


def test_models_that_take_no_further_arguments_are_averaged_by_the_trainer():
    class Plain(nn.Module):
        def forward(self, labels):
            raise AssertionError("not called")

    assert not adds_micro_batches(Plain(), {"labels": torch.ones(1)})
    told = bert()
    told.accepts_loss_kwargs = False
    assert not adds_micro_batches(told, batch_of(Classified(4), range(2)))
