from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import MissingExtraError, RecipeError
from paretomerge.training import Ivon, ivon_trainer

transformers = pytest.importorskip("transformers")


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.linear(inputs)
        assert labels is not None
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _model() -> _Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Classifier()


def _examples() -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [{"inputs": torch.randn(4, generator=draw), "labels": torch.tensor(n % 3)} for n in range(24)]


def _optimizer(model: nn.Module) -> Ivon:
    return Ivon(model.named_parameters(), 0.1, ess=24.0, hess_init=1.0, betas=(0.9, 0.9))


def _trainer(model: nn.Module, optimizer: Any, folder: Path, **settings: Any) -> Any:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True,
        logging_strategy="no", lr_scheduler_type="constant", max_grad_norm=0,
        **{"max_steps": 6, "save_strategy": "no", **settings},
    )  # fmt: skip
    return ivon_trainer()(model, arguments, train_dataset=_examples(), optimizers=(optimizer, None))


@pytest.mark.parametrize("parts", [1, 2])
def test_the_trainer_takes_the_steps_of_a_loop_by_hand(parts: int, tmp_path: Path) -> None:
    model, seen = _model(), []
    optimizer = _optimizer(model)
    model.register_forward_pre_hook(
        lambda module, _, given: seen.append({key: value.clone() for key, value in given.items()}), with_kwargs=True
    )
    _trainer(model, optimizer, tmp_path, gradient_accumulation_steps=parts).train()
    assert len(seen) == 6 * parts
    other = _model()
    by_hand = _optimizer(other)
    for step in range(6):
        for batch in seen[step * parts : (step + 1) * parts]:
            with by_hand.sampled_params():
                other(**batch)["loss"].backward()
        by_hand.step()
    for mine, its in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(optimizer.state[mine]["hessian"], by_hand.state[its]["hessian"], rtol=1e-4, atol=0)


def test_training_resumes_exactly_from_a_checkpoint_of_the_trainer(tmp_path: Path) -> None:
    whole, half, resumed = _model(), _model(), _model()
    optimizers = [_optimizer(model) for model in (whole, half, resumed)]
    _trainer(whole, optimizers[0], tmp_path / "whole").train()
    _trainer(half, optimizers[1], tmp_path / "half", save_strategy="steps", save_steps=3).train()
    again = _trainer(resumed, optimizers[2], tmp_path / "half")
    again.train(resume_from_checkpoint=str(tmp_path / "half" / "checkpoint-3"))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(optimizers[0].state[one]["hessian"], optimizers[2].state[other]["hessian"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_grad_norm": 1.0}, "max_grad_norm=1.0 would have no effect"), ({"fp16": True}, "use bf16")],
)
def test_settings_that_would_spoil_the_curvature_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = _model()
    trainer = _trainer(model, _optimizer(model), tmp_path)
    # Set here, because float16 on a CPU is refused by the Trainer itself.
    for name, value in settings.items():
        setattr(trainer.args, name, value)
    with pytest.raises(RecipeError, match=message):
        trainer.train()


def test_accumulation_across_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    trainer = _trainer(model, _optimizer(model), tmp_path, gradient_accumulation_steps=2)
    trainer.optimizer = _optimizer(model)
    monkeypatch.setattr(type(trainer.args), "world_size", 2)
    with pytest.raises(RecipeError, match="average of every pass"):
        trainer.training_step(model, _examples()[0])


def test_another_optimizer_is_named(tmp_path: Path) -> None:
    model = _model()
    with pytest.raises(RecipeError, match="optimizer is SGD: give it"):
        _trainer(model, torch.optim.SGD(model.parameters(), 0.1), tmp_path).train()


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"paretomerge\[hf\]"):
        ivon_trainer()
