"""Run by an interpreter that has mergekit: its outputs, and the parameters it resolves, for many configurations.

    python run_mergekit.py JOBS.json      JOBS: [{"config": file.yml, "out": folder, "merge": true}, …]

Every `out` gets `parameters.json`, tensor → {"shared": …, "per_model": model → …}, and the merged model where asked.
A configuration that mergekit refuses gets `error.txt` instead.
"""

import json
import sys
from pathlib import Path

import torch
import yaml
from mergekit.architecture import get_architecture_info
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from mergekit.plan import MergePlanner


def run(config, out, merge):
    content = yaml.safe_load(Path(config).read_text())
    options = MergeOptions(quiet=True, random_seed=0, copy_tokenizer=False, write_model_card=False)
    parsed = MergeConfiguration.model_validate(content)
    planner = MergePlanner(
        parsed, get_architecture_info(parsed, options), options, parsed.referenced_models()[0].config()
    )
    resolved = {}
    planner._plan()
    for weight, method in planner._tensors:
        resolved[weight.name] = {
            "shared": dict(method.parameters.items()),
            "per_model": {str(model): dict(values.items()) for model, values in method.input_parameters.items()},
        }
    (out / "parameters.json").write_text(json.dumps(resolved))
    if merge:
        run_merge(MergeConfiguration.model_validate(content), str(out / "merged"), options)


torch.set_num_threads(1)
for job in json.loads(Path(sys.argv[1]).read_text()):
    folder = Path(job["out"])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(job["config"], folder, job["merge"])
    except Exception as error:
        (folder / "error.txt").write_text(f"{type(error).__name__}: {error}")
