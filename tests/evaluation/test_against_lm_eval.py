"""The Language Model Evaluation Harness on the same model in memory and the same rows gives the same scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.test_multiple_choice import quizzes
from tests.problems.tiny_models import llama, transformers

from paretomerge.checkpoints import open_checkpoint
from paretomerge.evaluation import problem_evaluator
from paretomerge.problems import causal_lm_problem, causal_lm_questions
from paretomerge.types import Params

harness = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval is not installed")
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402

ROWS = quizzes(60)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("models") / "base", initializer_range=1.0)


def _params(folder: Path) -> Params:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def _harness(folder: Path) -> Any:
    return harness.HFLM(
        pretrained=transformers.AutoModelForCausalLM.from_pretrained(folder).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
        batch_size=4,
        add_bos_token=True,
    )


def _task(rows: Sequence[Any], **settings: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    config = {
        "task": "quiz",
        "custom_dataset": lambda **given: {"test": datasets.Dataset.from_list(list(rows))},
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        **settings,
    }
    task = ConfigurableTask(config=config)
    task.build_all_requests()
    return task


def _scores(folder: Path, task: Any, kind: str) -> dict[str, dict[str, float]]:
    """Prompt → metric → score, as the harness has them."""
    requests: list[Instance] = task.instances
    answers = getattr(_harness(folder), kind)(requests, disable_tqdm=True)
    for request, answer in zip(requests, answers, strict=True):
        request.resps.append(answer)
    task.apply_filters()
    found = {}
    for doc_id, doc in enumerate(task.test_docs()):
        own = [request.filtered_resps["none"] for request in requests if request.doc_id == doc_id]
        found[doc["prompt"]] = task.process_results(doc, own)
    return found


def test_choice_accuracies_are_acc_and_acc_norm(base: Path) -> None:
    metrics = [{"metric": "acc"}, {"metric": "acc_norm"}]
    task = _task(
        ROWS, output_type="multiple_choice", doc_to_choice="choices", doc_to_target="answer", metric_list=metrics
    )
    expected = _scores(base, task, "loglikelihood")
    data = {"a": {"test": ROWS}}
    problem = causal_lm_problem(base, data, choices="choices")
    questions = causal_lm_questions(base, data, choices="choices")
    found = problem_evaluator(problem, "test", ["choice_accuracy", "choice_accuracy_norm"], questions)(
        _params(base), "a"
    )
    prompts = [questions.decode(question.prompt) for question in questions.of("a", "test")]
    assert found["choice_accuracy"].tolist() == [expected[prompt]["acc"] for prompt in prompts]
    assert found["choice_accuracy_norm"].tolist() == [expected[prompt]["acc_norm"] for prompt in prompts]
    assert 0 < found["choice_accuracy"].mean() < 1


def test_exact_match_is_exact_match_of_generated_answers(base: Path) -> None:
    """References are what the model says, but for every third."""
    data = {"a": {"test": [{"prompt": row["prompt"], "response": "yes"} for row in ROWS]}}
    problem = causal_lm_problem(base, data)
    settings = {"max_new_tokens": 6, "stop": ["m g", "no"]}
    questions = causal_lm_questions(base, data)
    evaluator: Any = problem_evaluator(problem, "test", ["exact_match"], questions, settings)
    said = evaluator.answers(_params(base), questions.of("a", "test"))
    prompts = [questions.decode(question.prompt) for question in questions.of("a", "test")]
    rows = [
        {"prompt": prompt, "response": said[number] or "nothing" if number % 3 else "plot plot"}
        for number, prompt in enumerate(prompts)
    ]
    task = _task(
        rows,
        output_type="generate_until",
        doc_to_target="response",
        generation_kwargs={"until": settings["stop"], "max_gen_toks": 6, "do_sample": False},
        metric_list=[{"metric": "exact_match"}],
    )
    expected = _scores(base, task, "generate_until")
    data = {"a": {"test": rows}}
    questions = causal_lm_questions(base, data)
    evaluator = problem_evaluator(
        causal_lm_problem(base, data), "test", ["exact_match"], questions, {**settings, "normalise": ()}
    )
    found = evaluator(_params(base), "a")["exact_match"].tolist()
    prompts = [questions.decode(question.prompt) for question in questions.of("a", "test")]
    assert found == [expected[prompt]["exact_match"] for prompt in prompts]
    assert 0 < sum(found) < len(found)
