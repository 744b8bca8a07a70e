"""What a base lacks beside its weights comes from a finetune, one kind at a time, and that is said."""

from __future__ import annotations

import torch

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.exports import complete_side_files
from paretomerge.exports.side_files import is_tokenizer_file


def folder(path, *files):
    write_params(path, {"w": torch.ones(2)})
    for file in files:
        (path / file).write_text(path.name)
    return open_checkpoint(path)


def test_the_base_s_own_files_are_kept(tmp_path):
    base = folder(tmp_path / "base", "config.json", "tokenizer.json", "notes.txt")
    a = folder(tmp_path / "a", "config.json", "tokenizer.json", "vocab.txt", "extra.json")
    files, said = complete_side_files(base, {"a": a})
    assert files == base.side_files
    assert said == ()


def test_a_kind_that_the_base_lacks_is_that_of_the_first_finetune_with_it(tmp_path):
    base = folder(tmp_path / "base", "config.json")
    a = folder(tmp_path / "a", "config.json", "all_results.json")
    b = folder(tmp_path / "b", "tokenizer.json", "special_tokens_map.json", "generation_config.json")
    c = folder(tmp_path / "c", "tokenizer.json", "vocab.txt")
    files, said = complete_side_files(base, {"a": a, "b": b, "c": c})
    assert {file.name: file.parent.name for file in files} == {
        "config.json": "base",
        "generation_config.json": "b",
        "tokenizer.json": "b",
        "special_tokens_map.json": "b",
    }
    assert said == (
        "the base has no generation configuration: generation_config.json is that of the finetune of 'b'",
        "the base has no tokenizer: special_tokens_map.json, tokenizer.json is that of the finetune of 'b'",
    )


def test_a_bare_file_of_weights_gets_everything(tmp_path):
    folder(tmp_path / "base")
    bare = open_checkpoint(tmp_path / "base" / "model.safetensors")
    files, said = complete_side_files(bare, {"a": folder(tmp_path / "a", "config.json", "vocab.txt")})
    assert [file.name for file in files] == ["config.json", "vocab.txt"]
    assert len(said) == 2


def test_tokenizer_files_are_told_from_others(tmp_path):
    assert is_tokenizer_file(tmp_path / "merges.txt")
    assert not is_tokenizer_file(tmp_path / "config.json")
