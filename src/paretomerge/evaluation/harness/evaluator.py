"""lm-eval tasks as an evaluator: parameters go into one live module, which lm-eval asks as it asks any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from paretomerge.errors import DataError, EvaluationError, ParetomergeError, nearest
from paretomerge.evaluation.harness.quiet import as_guest, require_lm_eval
from paretomerge.evaluation.harness.scores import scores_of
from paretomerge.evaluation.harness.tasks import HarnessSettings, HarnessTask, Measure, measures_of, open_task
from paretomerge.types import Params, load_in_place

_NO_SETTINGS = HarnessSettings()


@dataclass(frozen=True, eq=False)
class HarnessEvaluator:
    """`(params, task) → metric → per-example scores`, by lm-evaluation-harness (Gao et al., 2021).

    The scores are those that lm-eval logs, and their mean is the number that its command line reports for the same
    model, task and settings; what is no mean (perplexity, BLEU) is that number with a standard error.

    Args:
        build: makes a module of transformers and its tokenizer; called once, at the first score.
        tasks: task → task of lm-eval.
        settings: of all tasks.

    Raises:
        DataError: a task that lm-eval does not know, or whose data are not here.
        MissingExtraError: lm-eval is not installed.
    """

    build: Callable[[], tuple[Any, Any]]
    tasks: Mapping[str, HarnessTask]
    settings: HarnessSettings = _NO_SETTINGS
    _measures: Mapping[str, tuple[Measure, ...]] = field(init=False, repr=False)
    _wanted: Mapping[str, frozenset[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Open the tasks: what is wrong with them is said before any model is made."""
        require_lm_eval()
        picked = {name: measures_of(task, self.settings, name) for name, task in self.tasks.items()}
        # All are measured at once, whichever are wanted: another one asked for later is there already.
        every = {
            name: measures_of(replace(task, metric=None, filter=None), self.settings, name)
            for name, task in self.tasks.items()
        }
        object.__setattr__(self, "_measures", every)
        wanted = {name: frozenset(each.label for each in own) for name, own in picked.items()}
        object.__setattr__(self, "_wanted", wanted)

    @property
    def takes_examples(self) -> bool:
        """Whether some of the examples can be scored alone: not with drawn examples in the prompts."""
        return all(not open_task(task, self.settings).get_config("num_fewshot") for task in self.tasks.values())

    @property
    def not_means(self) -> tuple[str, ...]:
        """The wanted metrics that are no means over examples, such as a perplexity."""
        return tuple(
            measure.label
            for name, measures in self._measures.items()
            for measure in measures
            if measure.label in self._wanted[name] and not self._is_mean(name, measure)
        )

    def count_examples(self, task: str) -> int:
        """How many examples of a task are scored."""
        own = self._task(task)
        count = len(open_task(own, self.settings).eval_docs)
        return count if own.limit is None else min(count, own.limit)

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, np.ndarray | float]:
        """Score one model on one task: on all examples, or on those with the given numbers, in their order.

        Raises:
            AlignmentError: parameters of another architecture.
            DataError: some examples, of a metric that is no mean over them.
            EvaluationError: lm-eval failed.
        """
        own = self._task(task)
        module, model = self._live
        load_in_place(module, params)
        results = self._evaluated(own, model, examples)
        opened = open_task(own, self.settings)
        found = scores_of(
            results["samples"][own.name],
            self._measures[task],
            self._wanted[task],
            results["results"][own.name],
            opened.aggregation(),
            own.name,
        )
        return found if examples is None else _in_order(found, examples, own.name, self._wanted[task])

    @cached_property
    def _live(self) -> tuple[Any, Any]:
        """The module, and lm-eval's view of it."""
        module, tokenizer = self.build()
        with as_guest(network=self.settings.network, seed=self.settings.seed):
            from lm_eval.models.huggingface import HFLM

            model = HFLM(
                pretrained=module,
                tokenizer=tokenizer,
                backend="causal",
                batch_size=self.settings.batch_size,
                max_length=self.settings.max_length,
            )
        return module, model

    def _evaluated(self, own: HarnessTask, model: Any, examples: np.ndarray | None) -> Any:
        opened, settings = open_task(own, self.settings), self.settings
        with as_guest(network=settings.network, seed=settings.seed):
            from lm_eval.evaluator import evaluate

            # Examples in prompts are drawn anew for each model, from the same seed.
            opened.set_fewshot_seed(seed=1234 if settings.seed is None else settings.seed)
            try:
                return evaluate(
                    lm=model,
                    task_dict={"tasks": {own.name: opened}},
                    limit=own.limit if examples is None else None,
                    samples=None if examples is None else {own.name: sorted(int(number) for number in examples)},
                    bootstrap_iters=0,
                    log_samples=True,
                    system_instruction=settings.system,
                    apply_chat_template=settings.chat_template,
                    fewshot_as_multiturn=True,
                    confirm_run_unsafe_code=settings.unsafe_code,
                )
            except ParetomergeError:
                raise
            except Exception as error:
                raise _failure(own.name, error) from error

    def _is_mean(self, name: str, measure: Measure) -> bool:
        aggregate = open_task(self.tasks[name], self.settings).aggregation().get(measure.metric)
        return aggregate is None or getattr(aggregate, "__name__", "") == "mean"

    def _task(self, task: str) -> HarnessTask:
        if task not in self.tasks:
            known = ", ".join(self.tasks)
            raise DataError(f"no lm-eval task for {task!r}{nearest(task, self.tasks)}: there are some for {known}")
        return self.tasks[task]


def _in_order(
    found: Mapping[str, np.ndarray | float], examples: np.ndarray, name: str, wanted: frozenset[str]
) -> dict[str, np.ndarray | float]:
    """Scores in the order in which examples were asked for; lm-eval gives them by number."""
    places = np.argsort(np.argsort(examples))
    means = {metric: scores[places] for metric, scores in found.items() if isinstance(scores, np.ndarray)}
    if not any(metric in wanted for metric in means):
        raise DataError(
            f"{', '.join(sorted(wanted))} of the lm-eval task {name!r} is no mean over examples, so it cannot be "
            "measured on parts of them and joined, as racing does: set front.racing to false"
        )
    return dict(means)


def _failure(name: str, error: Exception) -> EvaluationError:
    text = str(error).strip() or "no message"
    remedy = ""
    if "unsafe" in text:
        remedy = ". It runs programs that the model writes: allow it with  unsafe_code: true, in a sandbox"
    return EvaluationError(f"lm-eval failed on the task {name!r}: {type(error).__name__}: {text[:500]}{remedy}")
