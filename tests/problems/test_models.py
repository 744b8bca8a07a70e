from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems.tiny_models import bert, gpt2, llama, write_tokenizer

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError, DataError, MissingExtraError
from paretomerge.problems.models import BuildModel, ModelFolder, read_model
from paretomerge.types import load_in_place


def _says(folder: Path, **config: Any) -> ModelFolder:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return read_model(folder)


@pytest.mark.parametrize(
    ("config", "head"),
    [
        ({"id2label": {"1": "b", "0": "a", "10": "d", "2": "c"}}, ("a", "b", "c", "d")),
        ({"label2id": {"b": 1, "a": 0}}, ("a", "b")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({}, ("LABEL_0", "LABEL_1")),
    ],
)
def test_a_head_has_the_names_of_its_configuration(tmp_path: Path, config: Any, head: tuple[str, ...]) -> None:
    assert _says(tmp_path, **config).head == head


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_head_is_the_one_that_transformers_builds(tmp_path: Path, outputs: int) -> None:
    folder = bert(tmp_path / "base", num_labels=outputs)
    assert len(read_model(folder).head) == outputs
    assert BuildModel(folder, "SequenceClassification")().classifier.out_features == outputs


@pytest.mark.parametrize(
    ("config", "padding", "longest"),
    [
        ({"pad_token_id": 3, "eos_token_id": 2, "max_position_embeddings": 9}, 3, 9),
        ({"pad_token_id": None, "eos_token_id": 2}, 2, None),
        ({"eos_token_id": [4, 5], "n_positions": 7}, 4, 7),
        ({"pad_token_id": -1}, 0, None),
        ({}, 0, None),
        ({"text_config": {"pad_token_id": 6, "max_position_embeddings": 8}}, 6, 8),
        ({"model_type": "xlm-roberta", "pad_token_id": 1, "max_position_embeddings": 514}, 1, 512),
    ],
)
def test_padding_and_length_are_the_models_own(tmp_path: Path, config: Any, padding: int, longest: int) -> None:
    model = _says(tmp_path, **config)
    assert (model.padding, model.longest) == (padding, longest)


def test_modules_have_the_names_and_shapes_of_the_checkpoint(tmp_path: Path) -> None:
    for number, folder in enumerate((bert(tmp_path / "bert"), llama(tmp_path / "llama"), gpt2(tmp_path / "gpt2"))):
        module = BuildModel(folder, "SequenceClassification" if number == 0 else "CausalLM")()
        load_in_place(module, open_checkpoint(folder))
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert module.config._attn_implementation == "eager"


def test_half_precision_checkpoints_are_computed_in_float32(tmp_path: Path) -> None:
    folder = bert(tmp_path / "base")
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    assert next(BuildModel(folder, "SequenceClassification")().parameters()).dtype == torch.float32


def test_dropout_is_as_configured(tmp_path: Path) -> None:
    module = BuildModel(bert(tmp_path / "base", hidden_dropout_prob=0.25), "SequenceClassification")()
    assert module.dropout.p == 0.25
    tokens = {"input_ids": torch.tensor([[2, 5, 6, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    assert not torch.equal(module.train()(**tokens).logits, module.train()(**tokens).logits)


def test_building_takes_nothing_from_the_callers_randomness(tmp_path: Path) -> None:
    build = BuildModel(bert(tmp_path / "base"), "SequenceClassification")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build()
    assert torch.equal(torch.rand(3), expected)


def test_whoever_padded_a_classifier_finds_the_end_of_the_text(tmp_path: Path) -> None:
    """A decoder classifies by its last token, which it tells from padding by its number alone."""
    module = BuildModel(llama(tmp_path / "base", kind="LlamaForSequenceClassification"), "SequenceClassification")()
    module.eval()
    alone = module(input_ids=torch.tensor([[1, 5, 6]]), attention_mask=torch.ones(1, 3, dtype=torch.long)).logits
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    for filler in (0, 7):
        tokens = torch.tensor([[1, 5, 6, filler, filler], [1, 5, 6, 7, 8]])
        together = module(input_ids=tokens, attention_mask=mask).logits
        torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-6)


def test_builders_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    build = pickle.loads(pickle.dumps(BuildModel(bert(tmp_path / "base"), "SequenceClassification")))
    assert build() is not build()


def test_heads_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the model is a BertModel, .* AutoModelForSequenceClassification"):
        _says(tmp_path, architectures=["BertModel"]).require("SequenceClassification")
    with pytest.raises(CheckpointError, match="AutoModelForCausalLM"):
        _says(tmp_path, architectures=["BertForSequenceClassification"]).require("CausalLM")
    for name in ("GPT2LMHeadModel", "LlamaForCausalLM"):
        _says(tmp_path, architectures=[name]).require("CausalLM")
    _says(tmp_path).require("CausalLM")


@pytest.mark.parametrize("config", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_heads_that_do_not_choose_one_class_are_refused(tmp_path: Path, config: Any) -> None:
    with pytest.raises(DataError, match="only one class of several per example is read from files"):
        _says(tmp_path, **config).require("SequenceClassification")


def test_folders_that_are_no_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        read_model(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"no config\.json, so the architecture is unknown: give a Hugging Face"):
        read_model(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="this is an adapter; give the folder of its base"):
        read_model(tmp_path)
    for text, message in (("{", "is not JSON"), ("[]", "expected an object, got list")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            read_model(tmp_path)


def test_a_missing_tokenizer_is_not_made_up(tmp_path: Path) -> None:
    folder = bert(tmp_path / "base")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"there is no tokenizer \(tokenizer\.json\) beside the model"):
        read_model(folder).tokenizer()
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        read_model(folder).tokenizer()


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    said = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    _says(tmp_path, **said)
    with pytest.raises(CheckpointError, match=r"transformers cannot build the model .* code of their own are never"):
        BuildModel(tmp_path, "CausalLM")()
    assert not (tmp_path / "ran").exists()


def test_without_transformers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bert(tmp_path / "base")
    write_tokenizer(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for use in (BuildModel(folder, "SequenceClassification"), read_model(folder).tokenizer):
        with pytest.raises(
            MissingExtraError, match=r"'transformers': install it with  pip install 'paretomerge\[hf\]'"
        ):
            use()
