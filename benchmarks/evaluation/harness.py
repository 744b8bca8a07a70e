"""Does paretomerge measure what lm-eval's own command line reports of the exported checkpoint?

    python -m benchmarks.evaluation.harness --data DIR --out DIR

`--data` is a folder that `examples/lora/prepare.py` and `train.py` have written: SmolLM2-135M and two adapters. From
its test phrases two local lm-eval tasks are made, one of choices (German) and one of written answers (French). A run
measures merged models on them; each measured point is exported, and `lm_eval run` scores the folder with the same
task files. The numbers go to `results/harness.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from benchmarks.publishing import machine, write_section

from paretomerge.stages import estimate_run_front, export_point, open_study, run_ledger

HERE = Path(__file__).resolve().parent.parent
CHOICES = 4


def write_tasks(data: Path, folder: Path) -> Path:
    """Two task files with their data beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for language in ("german", "french"):
        lines = (data / "data" / language / "test.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        for row in rows:
            others = draw.sample([other["response"] for other in rows if other is not row], CHOICES - 1)
            place = draw.randrange(CHOICES)
            row |= {"choices": [*others[:place], row["response"], *others[place:]], "answer": place}
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{language}.jsonl").write_text(text, encoding="utf-8")
    shared = {"dataset_path": "json", "test_split": "test", "doc_to_text": "{{prompt}}", "target_delimiter": ""}
    tasks = {
        "german": {
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
            "metric_list": [
                {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
            ],
        },
        "french": {
            "output_type": "generate_until",
            "doc_to_target": "{{response}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16, "do_sample": False},
            "metric_list": [
                {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True},
                {"metric": "chrf", "aggregation": "chrf", "higher_is_better": True},
            ],
        },
    }
    for language, task in tasks.items():
        content = {"task": f"ui_{language}", **shared, **task, "metadata": {"version": 1.0}}
        content["dataset_kwargs"] = {"data_files": {"test": f"{language}.jsonl"}}
        (folder / f"{language}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder


def write_recipe(data: Path, tasks: Path, out: Path, limit: int) -> Path:
    """A recipe that measures nothing but the two lm-eval tasks, on averages of the finetunes."""
    content = {
        "base": str(data / "base"),
        "tasks": {language: {"checkpoint": str(data / "adapters" / language)} for language in ("german", "french")},
        "evaluator": {
            "lm_eval": {"german": "ui_german", "french": "ui_french"},
            "include": str(tasks),
            "limit": limit,
            "batch_size": 1,
        },
        "posterior": {"family": "isotropic"},
        "rule": {"name": "averaging"},
        "front": {"method": "spaced", "evaluations": 3, "split": "test"},
    }
    path = out / "recipe.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def reported(folder: Path, tasks: Path, out: Path, limit: int) -> tuple[dict[str, float], float]:
    """What lm-eval's own command line says of a folder, and how long it took."""
    started = time.perf_counter()
    command = [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder}"),
        *("--tasks", "ui_german,ui_french", "--include_path", str(tasks), "--limit", str(limit)),
        *("--batch_size", "1", "--device", "cpu", "--output_path", str(out / "lm_eval")),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    # lm-eval looks for data files in the folder where it runs.
    subprocess.run(
        command,
        check=True,
        cwd=tasks,
        env={**os.environ, **offline},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    newest = max((out / "lm_eval").rglob("results_*.json"), key=lambda file: file.stat().st_mtime)
    results = json.loads(newest.read_text(encoding="utf-8"))["results"]
    numbers = {}
    for language in ("german", "french"):
        for key, value in results[f"ui_{language}"].items():
            metric, comma, _ = key.partition(",")
            if comma and not metric.endswith("_stderr"):
                numbers[f"{metric}[{language}]"] = float(value)
    return numbers, seconds


def measure(data: Path, out: Path, limit: int) -> dict[str, Any]:
    """Every point of a small run, by paretomerge and by lm-eval."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = write_tasks(data, out / "tasks")
    study = open_study(write_recipe(data, tasks, out, limit), out / "run")
    found = estimate_run_front(study, print)
    cost = run_ledger(study).stages["front"]
    rows = []
    for row in (0, len(found.scores) // 2):
        weights = dict(zip(study.tasks, found.scores.weights[row].tolist(), strict=True))
        folder = export_point(study, weights, out / "exported", overwrite=True)
        ours = json.loads((folder / "paretomerge.json").read_text(encoding="utf-8"))["point"]
        theirs, took = reported(folder, tasks, out, limit)
        shutil.rmtree(folder)
        rows.append(
            {
                "weights": weights,
                "paretomerge": ours["values"],
                "stderr": ours["stdev"],
                "lm_eval": theirs,
                "lm_eval_seconds": took,
            }
        )
    each = cost.seconds / cost.evaluations
    return {"limit": limit, "rows": rows, "seconds_per_evaluation": each, "lm_eval": version("lm_eval"), **machine()}


def table(result: dict[str, Any]) -> str:
    """As Markdown."""
    lines = ["| weights | metric | paretomerge | standard error | lm-eval | difference |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        weights = ", ".join(f"{task} {weight:.2g}" for task, weight in row["weights"].items())
        for name, ours in row["paretomerge"].items():
            theirs = row["lm_eval"][name]
            lines.append(
                f"| {weights} | {name} | {ours:.6g} | {row['stderr'][name]:.2g} | {theirs:.6g} | {ours - theirs:.1g} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    result = measure(arguments.data.resolve(), arguments.out.resolve(), arguments.limit)
    (HERE / "results" / "harness.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))
    if "<!-- harness: generated -->" in (HERE / "README.md").read_text(encoding="utf-8"):
        write_section(HERE / "README.md", "harness", table(result))


if __name__ == "__main__":
    main()
