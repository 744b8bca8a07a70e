"""The folder of a Hugging Face model: its configuration, its tokenizer, and fresh modules of its architecture.

The configuration is read as the JSON it is, so that opening a problem does not import transformers. Nothing in the
folder is ever executed, and nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import CheckpointError, DataError, MissingExtraError, ParetomergeError

CONFIG = "config.json"
Kind = Literal["SequenceClassification", "ImageClassification", "CausalLM"]

_TOKENIZER_FILES = ("tokenizer", "vocab", "merges", "spiece", "sentencepiece")
_REGRESSION, _MULTI_LABEL = "regression", "multi_label_classification"


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A model's folder and what its `config.json` says."""

    path: Path
    config: Mapping[str, Any]

    @property
    def head(self) -> tuple[str, ...]:
        """The names of a classifier's outputs, in their order."""
        names = self.config.get("id2label") or {}
        if not names:
            names = {number: name for name, number in (self.config.get("label2id") or {}).items()}
        if names:
            return tuple(str(names[number]) for number in sorted(names, key=int))
        # transformers writes no names when there are as many outputs as by default, two.
        return tuple(f"LABEL_{number}" for number in range(int(self.config.get("num_labels", 2))))

    @property
    def padding(self) -> int:
        """The token that fills up texts: the model's own, else its end of text, else the first."""
        for name in ("pad_token_id", "eos_token_id"):
            token = self._setting(name)
            token = token[0] if isinstance(token, list) and token else token
            if isinstance(token, int) and token >= 0:
                return token
        return 0

    @property
    def longest(self) -> int | None:
        """How many tokens the model takes at most, where it says so."""
        most = self._setting("max_position_embeddings") or self._setting("n_positions")
        if not isinstance(most, int):
            return None
        # RoBERTa and its kin count positions from the one behind the padding token's number.
        return most - self.padding - 1 if "roberta" in str(self.config.get("model_type")) else most

    @property
    def tokens(self) -> int | None:
        """How many tokens the model knows."""
        return self._setting("vocab_size")

    @property
    def has_segments(self) -> bool:
        """Whether the model is told which of two texts a token is of."""
        return int(self._setting("type_vocab_size") or 0) > 1

    def _setting(self, name: str) -> Any:
        own = self.config.get(name)
        return own if own is not None else (self.config.get("text_config") or {}).get(name)

    def require(self, kind: Kind) -> None:
        """Refuse an architecture without the head that a kind of problem needs.

        Raises:
            CheckpointError: another architecture.
            DataError: a head that is trained with another loss.
        """
        named = self.config.get("architectures") or []
        if named and not any(str(name).endswith(f"For{kind}") or _is_causal(str(name), kind) for name in named):
            raise CheckpointError(
                f"{self.path}: the model is a {named[0]}, which has no head of the kind {kind}. Make a base with one, "
                f"from which all finetunes start: AutoModelFor{kind}.from_pretrained(...).save_pretrained(...)"
            )
        if kind == "CausalLM":
            return
        loss = self.config.get("problem_type")
        if loss in (_REGRESSION, _MULTI_LABEL) or len(self.head) < 2:
            raise DataError(
                f"{self.path}: the head has {len(self.head)} output(s) and the problem type "
                f"{loss or _REGRESSION!r}: only one class of several per example is read from files; write a "
                "problem of your own (problem: file.py:function)"
            )

    def side_file(self, name: str) -> Any:
        """What a JSON file beside the configuration holds; `None` where there is no such file.

        Raises:
            CheckpointError: it is not JSON.
            StorageError: the disk refused to read.
        """
        path = self.path / name
        return _read_json(path) if path.is_file() else None

    def tokenizer(self) -> Any:
        """The tokenizer beside the model.

        Raises:
            CheckpointError: there is none, or transformers cannot read it.
            MissingExtraError: transformers is not installed.
        """
        transformers = _transformers()
        # Without files, transformers makes up a tokenizer that knows five tokens.
        if not any(file.name.startswith(_TOKENIZER_FILES) for file in self.path.iterdir()):
            raise CheckpointError(
                f"{self.path}: there is no tokenizer (tokenizer.json) beside the model: save the one it was trained "
                "with into the same folder, by tokenizer.save_pretrained(...)"
            )
        try:
            return transformers.AutoTokenizer.from_pretrained(
                str(self.path), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise CheckpointError(f"{self.path}: the tokenizer cannot be read: {first_line(error)}") from error


@dataclass(frozen=True)
class BuildModel:
    """Makes a fresh module of a folder's architecture, with random parameters.

    In float32, with plain attention (fused kernels have no forward-mode derivatives), and with dropout as configured.
    Padding is whatever the attention mask leaves out: such tokens are set to the padding token, because some models
    find the end of a text by it.
    """

    folder: Path
    kind: Kind

    def __call__(self) -> nn.Module:
        """Build.

        Raises:
            CheckpointError: transformers does not know the architecture, would need code of its own for it, or calls
                its parameters otherwise than the folder's files do.
            MissingExtraError: transformers is not installed.
        """
        transformers = _transformers()
        found = read_model(self.folder)
        try:
            config = transformers.AutoConfig.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False
            )
            auto = getattr(transformers, f"AutoModelFor{self.kind}")
            # Parameters are overwritten, so what they start as must not take from the caller's randomness.
            with torch.random.fork_rng(devices=[]):
                module = auto.from_config(config, attn_implementation="eager", dtype=torch.float32)
        except Exception as error:
            raise CheckpointError(
                f"{self.folder}: transformers cannot build the model ({first_line(error)}). Models that need code "
                "of their own are never built from files: write a problem of your own (problem: file.py:function)"
            ) from error
        _require_names(self.folder, module, self.kind)
        if getattr(module.config, "pad_token_id", None) is None:
            module.config.pad_token_id = found.padding
        if hasattr(module.config, "use_cache"):
            module.config.use_cache = False
        module.register_forward_pre_hook(_Padding(found.padding), with_kwargs=True)
        return module


@dataclass(frozen=True)
class _Padding:
    """Sets the tokens that the attention mask leaves out to the padding token."""

    token: int

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        tokens, mask = named.get("input_ids"), named.get("attention_mask")
        if not isinstance(tokens, Tensor) or not isinstance(mask, Tensor):
            return None
        # A model that writes is given its newest tokens only, and a mask of all of them.
        seen = mask[:, -tokens.shape[1] :].bool()
        return arguments, named | {"input_ids": torch.where(seen, tokens, self.token)}


def read_model(folder: str | PathLike[str]) -> ModelFolder:
    """Read the configuration of a model's folder.

    Raises:
        CheckpointError: no folder, no `config.json` in it, or one that is not JSON.
        StorageError: the disk refused to read.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise CheckpointError(
            f"{path}: there is no such folder: a problem from files needs a Hugging Face model folder"
        )
    if not (path / CONFIG).is_file():
        is_adapter = (path / "adapter_config.json").is_file()
        raise CheckpointError(
            f"{path}: there is no {CONFIG}, so the architecture is unknown: "
            + ("this is an adapter; give the folder of its base" if is_adapter else "give a Hugging Face model folder")
        )
    config = _read_json(path / CONFIG)
    if not isinstance(config, dict):
        raise CheckpointError(f"{path / CONFIG}: expected an object, got {type(config).__name__}")
    return ModelFolder(path, config)


def _read_json(path: Path) -> Any:
    try:
        with storage_errors(path, "read"):
            return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error


def _require_names(folder: Path, module: nn.Module, kind: Kind) -> None:
    """Refuse files whose parameters transformers renames when it reads them, as those of vision transformers."""
    try:
        held = set(open_checkpoint(folder))
    except ParetomergeError:
        return  # a folder without weights, or whoever reads them complains
    lacking = [name for name, _ in module.named_parameters() if name not in held]
    unknown = sorted(held - set(module.state_dict()))
    if lacking and len(lacking) == len(unknown):
        raise CheckpointError(
            f"{folder}: the files call {len(lacking)} parameters otherwise than the module of this version of "
            f"transformers does ({unknown[0]!r}, but {lacking[0]!r}), which renames them when it reads. Save base and "
            f"finetunes once more under the module's own names: AutoModelFor{kind}.from_pretrained(old)"
            ".save_pretrained(new, save_original_format=False)"
        )


def _is_causal(name: str, kind: Kind) -> bool:
    """Whether a language model that goes by another name predicts the next token: GPT2LMHeadModel is one."""
    return kind == "CausalLM" and name.endswith("LMHeadModel")


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError.of("transformers", "hf") from error
    return transformers


def first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
