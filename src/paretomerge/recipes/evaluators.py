"""What the recipe's `evaluator` may hold: a function, the problem's own metrics, lm-eval tasks, or a command.

A section is of the kind whose key it has: `function`, `metrics`, `lm_eval` or `command`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from paretomerge.errors import nearest
from paretomerge.recipes.section import Section


class FunctionSection(Section):
    """`file.py:function` or `package.module:function`, `(params, task) → per-example scores`."""

    function: str


class GenerationSection(Section):
    """How answers are written for `exact_match`: greedily.

    Args:
        max_new_tokens: tokens of an answer at most.
        stop: texts at which an answer ends.
        normalise: what is done to answers and references before they are compared.
        batch_size: prompts at a time; that of the problem when `None`.
    """

    max_new_tokens: int = Field(default=32, ge=1)
    stop: tuple[str, ...] = ()
    normalise: tuple[str, ...] = ("strip",)
    batch_size: int | None = Field(default=None, ge=1)

    @field_validator("stop", "normalise", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return as_list(value)


class MetricsSection(Section):
    """Metrics of the recipe's problem: loss, accuracy, f1, perplexity, exact_match, choice_accuracy, …"""

    metrics: tuple[str, ...] = Field(min_length=1)
    generation: GenerationSection = GenerationSection()

    @field_validator("metrics", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return as_list(value)


class HarnessTaskSection(Section):
    """One lm-eval task that a task of the recipe is measured on; a string stands for its name alone.

    Args:
        task: its name, as lm-eval knows it.
        test: another lm-eval task that stands for the test split, so that no choice is made on what is reported.
        metric: which of its metrics; all of them when `None`, of which the front trades off the first.
        filter: which of its filters, where it has several.
        few_shot: examples in the prompt, instead of the task's own number.
        limit: examples at most, instead of the section's.
    """

    task: str
    test: str | None = None
    metric: str | None = None
    filter: str | None = None
    few_shot: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError("one lm-eval task for each task of the recipe; for an average make a task for each part")
        return {"task": value} if isinstance(value, str) else value


class HarnessSection(Section):
    """Tasks of lm-evaluation-harness, on the merged language model in memory.

    Args:
        lm_eval: task of the recipe → task of lm-eval.
        include: folders with task files of one's own. Code that these name (`!function`) is run.
        few_shot, limit: for all tasks.
        batch_size: requests at a time.
        chat_template: whether prompts are put into the tokenizer's chat template.
        system: instruction that precedes every prompt.
        max_length: tokens of a request at most; the model's own length when `None`.
        seed: of few-shot examples and sampled answers; lm-eval's own seeds when `None`.
        network: whether data sets may be downloaded. Without it only what lies on this machine is used.
        unsafe_code: whether answers that are programs may be run, as lm-eval's `--confirm_run_unsafe_code`.
        device: where the model runs; `auto` takes a GPU where there is one.
    """

    lm_eval: dict[str, HarnessTaskSection] = Field(min_length=1)
    include: tuple[str, ...] = ()
    few_shot: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    chat_template: bool = False
    system: str | None = None
    max_length: int | None = Field(default=None, ge=2)
    seed: int | None = Field(default=None, ge=0, lt=1 << 32)
    network: bool = False
    unsafe_code: bool = False
    device: str = "auto"

    @field_validator("include", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return as_list(value)


class CommandSection(Section):
    """A program that reads a folder with a model and prints scores as JSON; see `evaluation.CommandEvaluator`.

    Args:
        command: words, or text that is split into words as a shell does; `{model_dir}`, `{task}`, `{split}` and
            `{python}` (the interpreter that paretomerge runs in) are filled in. It runs in the recipe's folder.
        timeout: seconds that a call may take.
        retries: how often a call that failed is tried again.
        shell: whether the text is handed to `sh`, with `PARETOMERGE_MODEL_DIR`, `_TASK` and `_SPLIT` as variables.
        folder: where it runs; the recipe's folder when `None`.
    """

    command: str | tuple[str, ...]
    timeout: float = Field(default=3600, gt=0)
    retries: int = Field(default=1, ge=0)
    shell: bool = False
    folder: str | None = None

    @model_validator(mode="after")
    def _check(self) -> CommandSection:
        words = self.words
        if not words or not all(words):
            raise ValueError("command: no program to run")
        if self.shell and not isinstance(self.command, str):
            raise ValueError("command: with shell: true it is one text, not a list of words")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """Program and arguments; with `shell` those of `sh`."""
        if not isinstance(self.command, str):
            return self.command
        if self.shell:
            return ("sh", "-c", self.command) if self.command.strip() else ()
        try:
            return tuple(shlex.split(self.command))
        except ValueError as error:
            raise ValueError(f"command: {error} in {self.command!r}") from error


EvaluatorSection = FunctionSection | MetricsSection | HarnessSection | CommandSection

SECTIONS: dict[str, type[Section]] = {
    "function": FunctionSection,
    "metrics": MetricsSection,
    "lm_eval": HarnessSection,
    "command": CommandSection,
}
"""The key that tells a section's kind, and the kind."""


def kind_of(section: Any) -> str | None:
    """The key that tells what kind a section is, given as a mapping or parsed; `None` if it has none of them."""
    if isinstance(section, Section):
        return next((kind for kind, cls in SECTIONS.items() if isinstance(section, cls)), None)
    return next((kind for kind in SECTIONS if kind in section), None) if isinstance(section, Mapping) else None


def require_kinds(sections: Any) -> None:
    """Raise `ValueError` unless each section is a mapping with exactly one of the keys that tell its kind."""
    for number, section in enumerate(sections):
        if isinstance(section, Section):
            continue
        where = f"evaluator.{number}" if len(sections) > 1 else "evaluator"
        if not isinstance(section, Mapping):
            raise ValueError(
                f"{where}: expected a mapping with one of {', '.join(SECTIONS)}, got {type(section).__name__}"
            )
        kinds = [kind for kind in SECTIONS if kind in section]
        if not kinds:
            likely = next((found for key in section if (found := nearest(key, SECTIONS))), "")
            raise ValueError(f"{where}: give one of {', '.join(SECTIONS)}{likely}")
        if len(kinds) > 1:
            raise ValueError(
                f"{where}: {' and '.join(kinds)} are different evaluators: write a list, with an entry for each"
            )


def as_list(value: Any) -> Any:
    """One text is a list of one."""
    return [value] if isinstance(value, str) else value


def _tag_of_section(section: Any) -> str | None:
    kind = kind_of(section)
    return None if kind is None else f"<{kind}>"


def _tag_of_field(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<sections>"


TAGS: dict[str, type[Section] | None] = {
    **{f"<{kind}>": cls for kind, cls in SECTIONS.items()},
    "<text>": None,
    "<sections>": None,
}
"""What stands in the locations of errors below `evaluator` and is no key, with the section it stands for."""


TaggedSection = Annotated[
    Annotated[FunctionSection, Tag("<function>")]
    | Annotated[MetricsSection, Tag("<metrics>")]
    | Annotated[HarnessSection, Tag("<lm_eval>")]
    | Annotated[CommandSection, Tag("<command>")],
    Discriminator(_tag_of_section),
]
"""Told by their keys, so that an error speaks of one kind only."""

EvaluatorField = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[tuple[TaggedSection, ...], Tag("<sections>")],
    Discriminator(_tag_of_field),
]
"""A function's reference, or sections."""
