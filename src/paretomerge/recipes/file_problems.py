"""Problems that are made from files: which there are, and their settings."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from paretomerge.recipes.section import Section

FILE_PROBLEMS: dict[str, tuple[str, ...]] = {
    "sequence_classification": ("text", "text_pair", "label", "labels", "max_length"),
    "causal_lm": ("prompt", "response", "choices", "answer", "max_length"),
    "image_classification": ("image", "label", "labels", "size", "mean", "std", "channels", "model"),
}
"""Problems that need no code, and the settings that not all of them have."""


class ProblemSection(Section):
    """Settings of a problem that is made from files: columns, lengths, shares; see `problems`.

    Args:
        text, text_pair, label, labels: columns of a classification, and the names of the head's outputs.
        prompt, response: columns of a language model's examples; no prompt when `None`.
        choices, answer: columns of a list of choices and of the right one, which is the response then.
        image, size, mean, std, channels: the column of images, and the form in which the model takes them.
        model: `file.py:function` that builds a module of images, where the base is no Hugging Face folder.
        max_length: tokens of an example at most.
        batch_size: examples per batch of curvature and evaluation.
        examples: of every task and split at most.
        shares: of training, validation and test where a task comes as one file.
        split_seed: of the shares. It is not the recipe's seed, because finetunes have seen their training examples.
    """

    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    labels: tuple[str | int, ...] | None = None
    prompt: str | None = "prompt"
    response: str = "response"
    choices: str | None = None
    answer: str = "answer"
    image: str = "image"
    size: int | tuple[int, int] | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    channels: int | None = None
    model: str | None = None
    max_length: int = Field(default=128, ge=2)
    batch_size: int = Field(default=32, ge=1)
    examples: int | None = Field(default=None, ge=1)
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    split_seed: int = Field(default=0, ge=0, lt=1 << 62)

    def settings_of(self, problem: str) -> dict[str, Any]:
        """The settings that a problem made from files takes.

        Raises:
            ValueError: a setting that belongs to another kind of problem.
        """
        own = FILE_PROBLEMS[problem]
        foreign = {name for names in FILE_PROBLEMS.values() for name in names if name not in own}
        for name in sorted(foreign):
            if getattr(self, name) != ProblemSection.model_fields[name].default:
                raise ValueError(f"problem_settings.{name}: problem {problem} has no such setting")
        return {name: getattr(self, name) for name in ProblemSection.model_fields if name not in foreign}
