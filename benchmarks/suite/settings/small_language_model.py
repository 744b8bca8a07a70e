"""SmolLM2-135M whose last layers have adapters: what lies below is frozen, and runs once for every text.

The states that the frozen layers give are a table with a row for every position of every text, and a text is the
numbers of its rows: batches are joined, padded and cut as those of tokens are, and results are those of the whole
model. Output logits are made for labelled positions only, of which every one says where its state is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge import Problem
from paretomerge.curvature.likelihoods import UNLABELLED
from paretomerge.problems.batches import group_rows
from paretomerge.types import Batch, Params, Split

ADAPTED = ("q_proj", "v_proj", "up_proj", "down_proj")
PLACES = "decoder_places"
"""The input with the labelled positions. When batches are joined, inputs that are named like this have a length of
their own, and are not cut with the texts."""
BATCH_SIZE = 10
TEXTS_AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """A prompt, and what follows it; only this is labelled."""

    prompt: str
    response: str
    ends: bool = True


@dataclass(frozen=True, eq=False)
class Answered:
    """As tokens: the text, and how many of the last of them are labelled."""

    tokens: list[int]
    labelled: int


@dataclass(frozen=True, eq=False)
class Parts:
    """The last layers of the model, shared by all modules that are built of them.

    Args:
        config: of a model that has these layers only.
        weights: of the layers and the last norm.
        output: `[V, D]`, what makes logits.
        states: `[N, D]`, a row for every position of every text; the first is padding.
        adapted: ends of the names of layers that have adapters.
    """

    config: Any
    weights: Params
    output: Tensor
    states: Tensor
    adapted: tuple[str, ...] = ADAPTED


class LastLayers(nn.Module):
    """Parameters are the weights that adapters change; everything else is frozen, and not among the parameters."""

    def __init__(self, parts: Parts) -> None:
        """Only the parameters are memory of its own."""
        super().__init__()
        from transformers import LlamaModel

        with torch.device("meta"):
            self.model = LlamaModel(parts.config)
        del self.model.embed_tokens
        self.model.rotary_emb = type(self.model.rotary_emb)(parts.config)  # its frequencies are not in the weights
        for name, tensor in parts.weights.items():
            owner, _, local = name.removeprefix("model.").rpartition(".")
            module = self.model.get_submodule(owner)
            if owner.endswith(parts.adapted):
                setattr(module, local, nn.Parameter(tensor.clone()))
            else:
                delattr(module, local)
                module.register_buffer(local, tensor, persistent=False)
        self.register_buffer("output", parts.output, persistent=False)
        self.register_buffer("states", parts.states, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_places: Tensor) -> Tensor:
        """Logits of the labelled positions, `[B, n, V]`.

        In float32 whatever the layers run in: bfloat16 has steps of a tenth of a nat where logits are large.
        """
        found = self.model(inputs_embeds=self.states[input_ids], attention_mask=attention_mask, use_cache=False)
        hidden = found.last_hidden_state
        wanted = hidden.gather(1, decoder_places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        with torch.autocast("cpu", enabled=False):
            return nn.functional.linear(wanted.float(), self.output)


def language_problem(
    folder: Path,
    answers: Mapping[str, Mapping[str, Sequence[Answer]]],
    kept: Path,
    layers: int = 8,
    max_length: int = 64,
    adapted: tuple[str, ...] = ADAPTED,
) -> tuple[Problem, Params]:
    """Tasks → splits → answers as a `Problem`, and the parameters to start from.

    Args:
        folder: of the model.
        answers: task → split → examples.
        kept: the file of the frozen layers' states, written if it is not there.
        layers: how many of the last have adapters.
        max_length: tokens of an example; prompts lose their beginning.
        adapted: ends of the names of what has adapters in them.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = {
        (task, split): [encode(tokenizer, each, max_length) for each in found]
        for task, splits in answers.items()
        for split, found in splits.items()
    }
    parts = read_parts(folder, layers, [each.tokens for found in texts.values() for each in found], kept)
    batches, row = {}, 1
    for (task, split), found in texts.items():
        starts = []
        for each in found:
            starts.append(row)
            row += len(each.tokens)
        groups = group_rows([len(each.tokens) for each in found], BATCH_SIZE, by_length=split != "training")
        batches[task, split] = [_batch([found[i] for i in group], [starts[i] for i in group]) for group in groups]

    def data(task: str, split: Split) -> list[Batch]:
        return batches[task, split]

    parts = replace(parts, adapted=adapted)
    problem = Problem(tuple(answers), lambda: LastLayers(parts), data, "tokens")
    return problem, {name: tensor.detach().clone() for name, tensor in problem.build().state_dict().items()}


def encode(tokenizer: Any, answer: Answer, max_length: int) -> Answered:
    """Prompt, response, and the end token where there is one."""
    asked = tokenizer(answer.prompt, add_special_tokens=False)["input_ids"]
    answered = tokenizer(answer.response, add_special_tokens=False)["input_ids"]
    answered = [*answered, tokenizer.eos_token_id] if answer.ends else answered
    return Answered((asked + answered)[-max_length:], min(len(answered), max_length - 1))


def _batch(found: Sequence[Answered], starts: Sequence[int]) -> Batch:
    """Padded to the longest text, and to the longest answer."""
    width, most = max(len(each.tokens) for each in found), max(each.labelled for each in found)
    rows, mask = torch.zeros(2, len(found), width, dtype=torch.long)
    places = torch.zeros(len(found), most, dtype=torch.long)
    targets = torch.full((len(found), most), UNLABELLED)
    for number, (each, start) in enumerate(zip(found, starts, strict=True)):
        length = len(each.tokens)
        rows[number, :length] = torch.arange(start, start + length)
        mask[number, :length] = 1
        places[number, : each.labelled] = torch.arange(length - each.labelled, length) - 1
        targets[number, : each.labelled] = torch.tensor(each.tokens[-each.labelled :])
    return {"input_ids": rows, "attention_mask": mask, PLACES: places}, targets


def read_parts(folder: Path, layers: int, texts: Sequence[Sequence[int]], kept: Path) -> Parts:
    """The last layers, and the states that those before give for every text."""
    from safetensors.torch import load_file, save_file
    from transformers import LlamaForCausalLM

    whole = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    below = len(whole.model.layers) - layers
    weights = {f"model.norm.{name}": tensor for name, tensor in whole.model.norm.state_dict().items()}
    for number, layer in enumerate(whole.model.layers[below:]):
        for name, tensor in layer.state_dict().items():
            weights[f"model.layers.{number}.{name}"] = tensor
    whole.model.layers, whole.model.norm = whole.model.layers[:below], nn.Identity()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        save_file({"states": states_of(whole.model, texts)}, partial)
        partial.replace(kept)
    config = whole.config
    config.num_hidden_layers = layers
    return Parts(config, weights, whole.get_output_embeddings().weight.detach(), load_file(kept)["states"])


def states_of(trunk: nn.Module, texts: Sequence[Sequence[int]]) -> Tensor:
    """`[1 + Σ lengths, D]`: zeros, then the states of every text, one after the other."""
    lengths = [len(tokens) for tokens in texts]
    found: dict[int, Tensor] = {}
    for group in group_rows(lengths, TEXTS_AT_ONCE, by_length=True):
        rows, mask = torch.zeros(2, len(group), max(lengths[i] for i in group), dtype=torch.long)
        for number, text in enumerate(group):
            rows[number, : lengths[text]] = torch.tensor(list(texts[text]))
            mask[number, : lengths[text]] = 1
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            hidden = trunk(input_ids=rows, attention_mask=mask, use_cache=False).last_hidden_state.float()
        for number, text in enumerate(group):
            found[text] = hidden[number, : lengths[text]].clone()
    padding = torch.zeros(1, next(iter(found.values())).shape[-1])
    return torch.cat([padding, *(found[text] for text in range(len(texts)))])
