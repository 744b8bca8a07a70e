"""The language model that lm-eval asks: one live module, as transformers would load the exported folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paretomerge.errors import CheckpointError, MissingExtraError

_HEADS = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class LanguageModel:
    """A language model's small files, from which module and tokenizer are made.

    Args:
        files: configuration, generation configuration and tokenizer, as an export has them.
        dtype: of the weights; the configuration's own goes first, as in transformers.
        name: how errors call it.

    Raises:
        CheckpointError: no configuration, or another architecture than a language model that writes.
    """

    files: Sequence[Path]
    dtype: torch.dtype
    name: str = "the base"

    def __post_init__(self) -> None:
        """Refuse other architectures before anything is built."""
        found = next((file for file in self.files if Path(file).name == "config.json"), None)
        if found is None:
            raise CheckpointError(
                f"lm-eval needs a language model of transformers, and {self.name} has no config.json: give a Hugging "
                "Face folder"
            )
        try:
            named = [str(each) for each in json.loads(Path(found).read_text(encoding="utf-8"))["architectures"] or []]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            named = []
        if named and not any(each.endswith(_HEADS) for each in named):
            raise CheckpointError(
                f"lm-eval tasks are for language models that write (…ForCausalLM), and {self.name} is a {named[0]}: "
                "measure a classifier by  metrics: [loss, accuracy, f1]"
            )

    def build(self, device: str = "auto") -> tuple[Any, Any]:
        """A fresh module in evaluation mode, and the tokenizer; nothing in the folder is executed.

        Raises:
            CheckpointError: transformers cannot build it.
            MissingExtraError: transformers is not installed.
        """
        try:
            import transformers
        except ImportError as error:
            raise MissingExtraError.of("transformers", "hf") from error
        with tempfile.TemporaryDirectory() as folder:
            for file in self.files:
                shutil.copyfile(file, Path(folder) / Path(file).name)
            try:
                with torch.random.fork_rng(devices=[]):
                    module, tokenizer = self._built(transformers, folder)
            except Exception as error:
                text = str(error).strip().splitlines() or [type(error).__name__]
                raise CheckpointError(f"{self.name}: transformers cannot build the model ({text[0]})") from error
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return module.to(device).eval(), tokenizer

    def _built(self, transformers: Any, folder: str) -> tuple[Any, Any]:
        local = {"local_files_only": True, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        dtype = getattr(config, "dtype", None) or self.dtype
        module = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
        if (Path(folder) / "generation_config.json").is_file():
            module.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
        return module, transformers.AutoTokenizer.from_pretrained(folder, **local)
