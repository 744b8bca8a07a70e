"""A recipe's task may be a low-rank adapter on its base."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tests.tiny import recipe_of, write_recipe

from paretomerge.checkpoints import open_checkpoint
from paretomerge.stages import estimate_run_front, export_point, open_study


def write_adapter(folder: Path, rank: int = 2) -> torch.Tensor:
    """A LoRA adapter on the first layer; returns what it adds to `0.weight`."""
    generator = torch.Generator().manual_seed(5)
    down, up = (0.2 * torch.randn(shape, generator=generator) for shape in ((rank, 4), (6, rank)))
    folder.mkdir()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["0"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    names = {"base_model.model.0.lora_A.weight": down, "base_model.model.0.lora_B.weight": up}
    save_file(names, folder / "adapter_model.safetensors")
    return 2.0 * up @ down


def test_an_adapter_is_a_task_like_any_other(own: Path) -> None:
    added = write_adapter(own / "adapter")
    content = recipe_of(posterior={"family": "isotropic"}, front={"evaluations": 6})
    content["tasks"]["signs"] = {"checkpoint": "adapter"}
    study = open_study(write_recipe(own, content))
    base = open_checkpoint(own / "base")
    assert torch.allclose(study.finetunes["signs"]["0.weight"], base["0.weight"] + added)
    front = estimate_run_front(study).front
    number = int(front.weights[:, front.tasks.index("signs")].argmax())
    exported = open_checkpoint(export_point(study, number, own / "merged"))
    expected = sum(front[number].weights[task] * study.finetunes[task]["0.weight"] for task in study.tasks)
    assert torch.allclose(exported["0.weight"], expected, atol=1e-6)
