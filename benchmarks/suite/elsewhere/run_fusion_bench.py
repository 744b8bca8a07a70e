"""Runs in fusion_bench's own environment: its Fisher merging, all of it, on models that travel as exported graphs.

    python run_fusion_bench.py FOLDER

FOLDER holds `job.json`, the graph `model.pt2`, and per task `task-N.pt` with parameters and batches. Their
`fisher_merging` is called once; what it hands to their `merging_with_fisher_weights` is kept, so that this function can
be asked again at every weighting without measuring the same Fisher matrices again.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from fusion_bench.method.fisher_merging import fisher_merging as theirs
from torch import nn

PREFIX = "graph.model."


class Answering(nn.Module):
    """The graph with an answer as Hugging Face models give it."""

    def __init__(self, folder: Path, params: dict[str, torch.Tensor]) -> None:
        """With one task's parameters."""
        super().__init__()
        self.graph = torch.export.load(folder / "model.pt2").module()
        state = self.graph.state_dict()
        lost = [name for name in params if f"model.{name}" not in state]
        if lost:
            raise SystemExit(f"the exported graph has lost {len(lost)} parameters, first {lost[0]!r}")
        self.graph.load_state_dict({name: params.get(name.removeprefix("model."), own) for name, own in state.items()})

    def forward(self, inputs):
        """Logits under their name."""
        return SimpleNamespace(logits=self.graph(inputs))


class Trainer:
    """What their function asks of a trainer."""

    def __init__(self, batches, batch_size: int) -> None:
        """With batches that are made already."""
        self._batches, self._train_batch_size = batches, batch_size

    def get_train_dataloader(self):
        """The batches."""
        return self._batches

    def _prepare_inputs(self, inputs):
        return {"inputs": inputs}


def without_gradient(model: Answering, batch) -> list[str]:
    """Parameters that no output depends on; theirs cannot do with them."""
    model(batch).logits.sum().backward()
    names = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    model.zero_grad()
    return names


def main(folder: Path) -> None:
    """One job."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tasks = [torch.load(folder / f"task-{number}.pt", weights_only=True) for number in range(job["tasks"])]
    models = [Answering(folder, task["params"]) for task in tasks]
    fixed = [name for name, _ in models[0].named_parameters() if name.removeprefix(PREFIX) not in job["trainable"]]
    left_out = sorted({*fixed, *without_gradient(models[0], tasks[0]["batches"][0])})
    asked = {}
    own = theirs.merging_with_fisher_weights

    def remembered(**given):
        asked.update(given)
        return own(**given)

    theirs.merging_with_fisher_weights = remembered
    theirs.fisher_merging(
        models,
        [Trainer(task["batches"], job["batch_size"]) for task in tasks],
        [f"^{name.replace('.', '[.]')}$" for name in left_out],
        [len(task["batches"]) * job["batch_size"] for task in tasks],
        job["weights"][0],
        job["normalize"],
        job["minimal"] or 0.0,
    )
    fishers = asked["models_to_merge_fisher_weights_list"]
    if job["damping"] is not None:
        asked["minimal_fisher_weight"] = job["damping"] * mean_of(fishers)
    for number, row in enumerate(job["weights"]):
        asked["fisher_scaling_coefficients"] = torch.Tensor(row)
        with torch.no_grad():
            merged = own(**asked)
        torch.save(stripped(merged), folder / f"merged-{number}.pt")
    for number, fisher in enumerate(fishers):
        torch.save(stripped(fisher), folder / f"fisher-{number}.pt")
    facts = {"left_out": len(left_out), "minimal_fisher_weight": asked["minimal_fisher_weight"]}
    facts["versions"] = {name: version(name) for name in ("fusion-bench", "torch")}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def mean_of(fishers) -> float:
    """Of all entries of all tasks."""
    total = sum(float(tensor.double().sum()) for fisher in fishers for tensor in fisher.values())
    return total / sum(tensor.numel() for fisher in fishers for tensor in fisher.values())


def stripped(tensors) -> dict[str, torch.Tensor]:
    """Under the model's own names."""
    return {name.removeprefix(PREFIX): tensor.detach().clone() for name, tensor in tensors.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
