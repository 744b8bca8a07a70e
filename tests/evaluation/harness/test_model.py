from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.evaluation.harness.local_tasks import tiny_model
from tests.problems.tiny_models import bert

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError
from paretomerge.evaluation import LanguageModel


def _files(folder: Path) -> tuple[Path, ...]:
    return open_checkpoint(folder).side_files


def test_the_module_is_what_transformers_would_load(tmp_path: Path) -> None:
    import transformers

    folder = tiny_model(tmp_path / "base")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    module, tokenizer = LanguageModel(_files(folder), torch.float32).build("cpu")
    assert type(module) is type(theirs)
    assert not module.training
    assert module.config._attn_implementation == theirs.config._attn_implementation
    assert module.generation_config.eos_token_id == theirs.generation_config.eos_token_id == 2
    assert tokenizer("good film")["input_ids"] == [1, 3, 7]


@pytest.mark.parametrize(("said", "expected"), [("bfloat16", torch.bfloat16), (None, torch.float16)])
def test_the_configuration_says_the_dtype_before_the_weights_do(
    tmp_path: Path, said: str | None, expected: torch.dtype
) -> None:
    folder = tiny_model(tmp_path / "base")
    config = {
        key: value
        for key, value in json.loads((folder / "config.json").read_text()).items()
        if key not in ("dtype", "torch_dtype")
    }
    (folder / "config.json").write_text(json.dumps(config | ({} if said is None else {"dtype": said})))
    module, _ = LanguageModel(_files(folder), torch.float16).build("cpu")
    assert module.dtype == expected


def test_building_takes_nothing_from_the_callers_randomness(tmp_path: Path) -> None:
    files = _files(tiny_model(tmp_path / "base"))
    before = torch.get_rng_state()
    LanguageModel(files, torch.float32).build("cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_classifier_is_refused_before_it_is_built(tmp_path: Path) -> None:
    files = _files(bert(tmp_path / "base"))
    with pytest.raises(CheckpointError, match=r"my-bert is a BertForSequenceClassification.*metrics: \[loss, accuracy"):
        LanguageModel(files, torch.float32, "my-bert")


def test_a_base_without_configuration_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"the base has no config\.json"):
        LanguageModel((), torch.float32)


def test_what_transformers_cannot_build_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="the base: transformers cannot build the model"):
        LanguageModel((tmp_path / "config.json",), torch.float32).build("cpu")
