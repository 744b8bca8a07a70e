"""Adapters inside modules: what is trained, what the whole model is, and that peft reads the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paretomerge.checkpoints import open_checkpoint, write_adapter
from paretomerge.errors import MissingExtraError, RecipeError
from paretomerge.posteriors import Diagonal
from paretomerge.training import LoraSettings, TrainingRecipe, finetune
from paretomerge.training.lora import InjectedAdapter, inject_adapter
from paretomerge.types import Problem

transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
peft = pytest.importorskip("peft", reason="the optional extra hf is not installed")
from tests.checkpoints.tiny_adapters import bert, gpt2, llama  # noqa: E402

transformers.logging.set_verbosity_error()
TOKENS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


def roberta() -> nn.Module:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    config = transformers.RobertaConfig(vocab_size=16, max_position_embeddings=16, num_labels=3, **sizes)
    return transformers.RobertaForSequenceClassification(config)


MAKERS = {"bert": bert, "llama": llama, "gpt2": gpt2, "roberta": roberta}


def _made(name: str) -> Any:
    torch.manual_seed(0)
    return MAKERS[name]().eval()


def _copy(params: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in params.items()}


def _injected(module: nn.Module, **settings: Any) -> InjectedAdapter:
    torch.manual_seed(1)
    return inject_adapter(module, LoraSettings(**({"rank": 2, "alpha": 5} | settings)))


def _moved(module: nn.Module) -> None:
    """Everything that is trained somewhere else, as after some steps."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("name", MAKERS)
def test_a_fresh_adapter_changes_nothing(name: str) -> None:
    module = _made(name)
    before, outputs = _copy(module.state_dict()), module(TOKENS).logits
    injected = _injected(module)
    assert torch.equal(module(TOKENS).logits, outputs)
    found = injected.params()
    assert list(found) == list(before)
    assert all(torch.equal(found[key], before[key]) for key in before)


@pytest.mark.parametrize("name", MAKERS)
def test_the_whole_model_computes_what_the_adapted_one_does_and_peft_and_we_read_it_from_the_file(
    name: str, tmp_path: Path
) -> None:
    module = _made(name)
    start = _copy(module.state_dict())
    injected = _injected(module)
    _moved(module)
    expected, params = module(TOKENS).logits, injected.params()
    whole = _made(name)
    whole.load_state_dict(params)
    torch.testing.assert_close(whole(TOKENS).logits, expected, rtol=1e-4, atol=1e-5)
    adapter = injected.adapter()
    folder = write_adapter(tmp_path / "adapter", adapter.tensors, adapter.config)
    opened = open_checkpoint(folder, start)
    for key in params:
        torch.testing.assert_close(opened[key], params[key], rtol=1e-5, atol=1e-6)
    base = _made(name)
    base.load_state_dict(start)
    kind = {"SEQ_CLS": peft.PeftModelForSequenceClassification, "CAUSAL_LM": peft.PeftModelForCausalLM}
    loaded = kind[adapter.config["task_type"]].from_pretrained(base, folder)
    torch.testing.assert_close(loaded(TOKENS).logits, expected, rtol=1e-4, atol=1e-5)
    merged = loaded.merge_and_unload().state_dict()
    for key in params:
        torch.testing.assert_close(merged[key], params[key], rtol=1e-5, atol=1e-6)


def test_all_linear_layers_are_adapted_but_heads_and_output_layer_which_peft_saves_whole_or_not_at_all() -> None:
    injected = _injected(_made("bert"))
    assert injected.config["target_modules"] == ["dense", "key", "query", "value"]
    assert (injected.config["modules_to_save"], injected.config["task_type"]) == (["classifier"], "SEQ_CLS")
    assert injected.whole == {"classifier.weight", "classifier.bias"}
    for name in ("llama", "gpt2"):
        injected = _injected(_made(name))
        assert not any(target.startswith("lm_head") for target in injected.targets)
        assert (injected.config["modules_to_save"], injected.config["task_type"]) == (None, "CAUSAL_LM")
    assert injected.config["fan_in_fan_out"]


def test_a_head_of_several_layers_is_trained_whole_and_gets_no_matrices() -> None:
    """RoBERTa's classifier holds a `dense` layer as every block does."""
    injected = _injected(_made("roberta"))
    assert {"classifier.dense.weight", "classifier.out_proj.bias"} < injected.whole
    assert not any(target.startswith("classifier") for target in injected.targets)
    assert "roberta.encoder.layer.0.output.dense" in injected.targets


def test_only_the_adapter_and_what_is_saved_whole_is_trained() -> None:
    module = _made("bert")
    _injected(module, target_modules=("query", "value"), modules_to_save=("classifier", "pooler"))
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    layers = [f"bert.encoder.layer.{layer}.attention.self.{which}" for layer in (0, 1) for which in ("query", "value")]
    matrices = {f"{layer}.lora_{part}.default.weight" for layer in layers for part in "AB"}
    heads = {f"{head}.{leaf}" for head in ("classifier", "bert.pooler.dense") for leaf in ("weight", "bias")}
    assert trained == matrices | heads


def test_the_rank_the_scale_and_the_dropout_are_as_asked_for() -> None:
    module = _made("bert")
    injected = _injected(module, rank=3, alpha=6, dropout=0.25, stabilised=True, target_modules=("query",))
    layer: Any = module.get_submodule(injected.targets[0])
    assert layer.lora_A["default"].weight.shape == (3, 8)
    assert layer.scaling["default"] == pytest.approx(6 / 3**0.5)
    assert layer.lora_dropout["default"].p == 0.25
    told = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.25, "use_rslora": True, "target_modules": ["query"]}
    assert told.items() <= injected.config.items()


def test_the_posterior_has_the_names_of_the_adapters_file() -> None:
    module = _made("bert")
    injected = _injected(module, target_modules=("query",))
    state = {name: tensor.detach() for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    found = injected.posterior(Diagonal(state, {name: torch.ones_like(tensor) for name, tensor in state.items()}))
    adapter = injected.adapter()
    assert list(found.mean) == list(adapter.tensors)
    assert "base_model.model.classifier.bias" in found.mean
    assert all(torch.equal(found.mean[name], adapter.tensors[name]) for name in adapter.tensors)
    assert set(found.precision) == set(found.mean)


def test_what_is_handed_out_does_not_change_with_the_training() -> None:
    module = _made("bert")
    injected = _injected(module)
    params, adapter = injected.params(), injected.adapter()
    held = _copy(params), _copy(adapter.tensors)
    _moved(module)
    assert all(torch.equal(params[name], held[0][name]) for name in params)
    assert all(torch.equal(adapter.tensors[name], held[1][name]) for name in adapter.tensors)


class _Plain(nn.Module):
    """Layers whose names end alike, and nothing of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.second = nn.Sequential(nn.Linear(4, 4))
        self.attention = nn.MultiheadAttention(4, 2)
        self.register_buffer("count", torch.tensor(3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs))


def test_any_module_can_be_adapted_at_exactly_the_layers_that_are_named() -> None:
    module = _Plain()
    injected = _injected(module, target_modules=("first.0",))
    assert injected.targets == ("first.0",)
    assert injected.config["target_modules"] == ["first.0"]
    assert injected.config["task_type"] is None
    _moved(module)
    inputs = torch.randn(3, 4)
    expected, whole = module(inputs), _Plain()
    whole.load_state_dict(injected.params())
    torch.testing.assert_close(whole(inputs), expected)


def test_layers_that_are_never_called_get_no_matrices() -> None:
    """The output projection of `nn.MultiheadAttention` is a linear layer whose weight is taken out of it."""
    assert _injected(_Plain()).targets == ("first.0", "first.2", "second.0")


def test_ends_that_would_name_other_layers_too_become_whole_names_or_an_expression() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    injected = _injected(module, target_modules=("1.0",))
    assert injected.targets == ("1.0",)
    assert injected.config["target_modules"] == ["1.0"]
    settings = LoraSettings(2, target_modules=("0",), modules_to_save=("1",))
    injected = inject_adapter(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))), settings)
    assert injected.targets == ("0",)
    assert injected.config["target_modules"] == "0"
    assert injected.whole == {"1.0.weight", "1.0.bias"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_model_keeps_its_dtype_and_matrices_are_never_in_half_precision(dtype: torch.dtype) -> None:
    module = _Plain().to(dtype)
    injected = _injected(module)
    _moved(module)
    wide = torch.promote_types(dtype, torch.float32)
    assert {t.dtype for n, t in injected.adapter().tensors.items() if "lora_" in n} == {wide}
    weight, matrices = module.first[0].base_layer.weight, injected.adapter().tensors
    down, up = (matrices[f"base_model.model.first.0.lora_{part}.weight"] for part in "AB")
    expected = (weight.to(wide) + 2.5 * up @ down).to(dtype)
    found = injected.params()["first.0.weight"]
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=1e-6 if dtype == torch.float64 else 1e-2, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_modules": ("qury",)}, r"no linear layer 'qury' \(did you mean 'query'\?\); it has dense, key, query"),
        ({"target_modules": ("word_embeddings",)}, "no linear layer 'word_embeddings'"),
        ({"modules_to_save": ("clasifier",)}, r"no module 'clasifier' \(did you mean 'classifier'\?\)"),
    ],
)
def test_a_name_that_no_layer_has_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _injected(_made("bert"), **settings)


def test_a_weight_that_is_used_twice_cannot_be_adapted() -> None:
    """The output layer of GPT-2 is its embedding."""
    for settings in ({"target_modules": ("lm_head",)}, {"modules_to_save": ("wte",)}):
        with pytest.raises(RecipeError, match="is used in another place too"):
            _injected(_made("gpt2"), **settings)


def test_a_model_without_linear_layers_has_nothing_to_adapt() -> None:
    with pytest.raises(RecipeError, match="no linear layers to adapt beside its heads"):
        _injected(nn.Sequential(nn.Conv1d(2, 2, 1)))


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'peft'.*paretomerge\[hf\]"):
        _injected(_Plain())


def _labelled(task: str, split: str) -> list[tuple[Tensor, Tensor]]:
    tokens = torch.randint(1, 16, (12, 5), generator=torch.Generator().manual_seed(len(task) + len(split)))
    return [(tokens, tokens[:, 0] % 3)]


BERT = Problem(("a",), lambda: _made("bert"), _labelled)  # type: ignore[arg-type]
SHORT = {"steps": 6, "examples_per_task": 6, "learning_rate": 0.05}


@pytest.mark.parametrize("more", [{}, {"optimizer": "ivon", "steps": 40}, {"check_every": 2, "patience": 1}], ids=str)
def test_finetune_changes_targets_by_low_rank_and_heads_freely(more: dict[str, Any]) -> None:
    start = _copy(_made("bert").state_dict())
    settings = LoraSettings(2, target_modules=("query",))
    found = finetune(BERT, start, {"a": 1.0}, TrainingRecipe(**{**SHORT, **more, "lora": settings}))
    changed = {name for name in start if not torch.equal(found.params[name], start[name])}
    assert changed <= {name for name in start if "query.weight" in name or name.startswith("classifier")}
    if "patience" not in more:
        assert len(changed) == 4
    for name in changed:
        if "query" in name:
            values = torch.linalg.svdvals((found.params[name] - start[name]).double())
            assert values[2] < 1e-5 * values[0] + 1e-9
    assert found.adapter is not None
    assert list(found.posterior.mean) == list(found.adapter.tensors)
    assert all(torch.equal(found.posterior.mean[name], tensor) for name, tensor in found.adapter.tensors.items())
    assert any(bool(tensor.any()) for tensor in found.posterior.precision.values())


def test_the_seed_draws_the_matrices() -> None:
    start = _copy(_made("bert").state_dict())
    recipe = TrainingRecipe(**SHORT, lora=LoraSettings(2))  # type: ignore[arg-type]
    one, same, other = (finetune(BERT, start, {"a": 1.0}, recipe, seed).params for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
