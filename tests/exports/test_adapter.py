"""A merge of adapters as one adapter: exact where it can be, else with an error that is stated; peft loads it."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from paretomerge.checkpoints import MANIFEST, open_checkpoint, widened
from paretomerge.errors import CheckpointError
from paretomerge.exports import ModelCard, export_adapter
from paretomerge.merging import Averaging, TaskArithmetic, Ties, merge

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from tests.checkpoints.tiny_adapters import ATTENTION, Convolutions, adapt, bert, gpt2, llama  # noqa: E402

CARD = ModelCard("An adapter", "averaging", finetunes={"a": "lora-a", "b": "lora-b"})
WEIGHTS = {"a": 0.3, "b": 0.7}


def make_tasks(folder, make, dtype=torch.float32, a=None, b=None):
    """A base on disk, two adapters on it (of ranks 2 and 3), and how to build its model again."""
    torch.manual_seed(0)
    state = {name: tensor.clone() for name, tensor in make().to(dtype).state_dict().items()}

    def fresh():
        model = make().to(dtype)
        model.load_state_dict(state)
        return model

    model = fresh()
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder / "base")
    else:
        from paretomerge.checkpoints import write_params

        write_params(folder / "base", state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task, rank, settings in (("a", 2, a or {}), ("b", 3, b or a or {})):
            wrapped = adapt(fresh(), r=rank, **settings)
            wrapped.save_pretrained(folder / task)
    base = open_checkpoint(folder / "base")
    return base, {task: open_checkpoint(folder / task, base) for task in "ab"}, fresh


def merged_of(base, finetunes, rule=None, weights=WEIGHTS):
    """In float32 at least."""
    return merge(dict(finetunes), weights, rule=rule or Averaging(), base=widened(base))


def by_peft(fresh, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as keys that are missing
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        warnings.filterwarnings("ignore", message=".*tie.*")
        model = peft.PeftModel.from_pretrained(fresh(), str(folder))
        return model.merge_and_unload().state_dict()


def distance(found, merged, base):
    """`‖found - merged‖ / ‖merged - base‖` over all tensors."""
    names = [name for name in merged if base.spec(name).is_mergeable]
    missed = sum(float((found[n].double() - merged[n].double()).square().sum()) for n in names)
    moved = sum(float((merged[n].double() - base[n].double()).square().sum()) for n in names)
    return (missed / moved) ** 0.5


LINEAR = {
    "bert": (bert, {"target_modules": ATTENTION}, None),
    "bert with a head": (bert, {"target_modules": ATTENTION, "modules_to_save": ["classifier"]}, None),
    "bert with biases": (bert, {"target_modules": ATTENTION, "bias": "lora_only"}, None),
    "different layers": (bert, {"target_modules": ["query"]}, {"target_modules": ["value", "key"], "use_rslora": True}),
    "llama": (llama, {"target_modules": "all-linear", "rank_pattern": {"k_proj": 1}}, None),
    "gpt2 transposed": (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}, None),
    "embedding": (llama, {"target_modules": ["embed_tokens", "q_proj"]}, None),
    "convolutions": (Convolutions, {"target_modules": ["line", "plane", "point", "space"]}, None),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("rule", [Averaging(), TaskArithmetic(scale=1.5)])
def test_a_linear_merge_is_the_tasks_adapters_side_by_side(tmp_path, name, rule):
    make, a, b = LINEAR[name]
    base, finetunes, fresh = make_tasks(tmp_path, make, a=a, b=b)
    merged = merged_of(base, finetunes, rule)
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)
    assert export.is_exact
    assert export.error < 1e-6
    assert export.rank <= 5
    for found in (by_peft(fresh, export.folder), open_checkpoint(export.folder, base)):
        assert distance(found, merged, base) < 2e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_spoil_the_rank(tmp_path, dtype):
    base, finetunes, fresh = make_tasks(tmp_path, bert, dtype, {"target_modules": ATTENTION})
    merged = merged_of(base, finetunes)
    assert merged["bert.encoder.layer.0.attention.self.query.weight"].dtype == torch.float32
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)
    assert (export.is_exact, export.rank) == (True, 5)
    assert distance(open_checkpoint(export.folder, base), merged, base) < 1e-5
    eps = torch.finfo(dtype).eps
    for name, tensor in by_peft(fresh, export.folder).items():
        assert torch.allclose(tensor.double(), merged[name].double(), rtol=2 * eps, atol=2 * eps)


def test_a_merge_rounded_to_half_precision_is_still_recognised_within_its_rounding(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, torch.float16, {"target_modules": ATTENTION})
    rounded = merge(dict(finetunes), WEIGHTS, rule=Averaging(), base=base)
    assert rounded["bert.encoder.layer.0.attention.self.query.weight"].dtype == torch.float16
    export = export_adapter(tmp_path / "out", rounded, base=base, finetunes=finetunes, card=CARD)
    assert (export.is_exact, export.rank) == (True, 5)
    assert 0 < export.error < 0.01


WIDE = {"hidden_size": 48, "intermediate_size": 64}


def wide_bert():
    return bert(**WIDE)


@pytest.mark.parametrize("tolerance", [0.5, 0.2])
def test_a_merge_that_is_not_linear_is_cut_off_at_the_tolerance(tmp_path, tolerance):
    base, finetunes, fresh = make_tasks(tmp_path, wide_bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes, Ties(density=0.3))
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, tolerance=tolerance)
    assert not export.is_exact
    assert tolerance / 2 < export.error <= export.worst[1] <= tolerance
    assert len(set(export.ranks.values())) > 1  # every layer has the rank that it needs
    assert distance(by_peft(fresh, export.folder), merged, base) == pytest.approx(export.error, rel=1e-3)
    assert distance(open_checkpoint(export.folder, base), merged, base) == pytest.approx(export.error, rel=1e-3)


def test_a_given_rank_is_kept_whatever_the_error_which_is_stated(tmp_path):
    base, finetunes, fresh = make_tasks(tmp_path, wide_bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes, Ties(density=0.3))
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, rank=4)
    assert set(export.ranks.values()) == {4}
    assert distance(by_peft(fresh, export.folder), merged, base) == pytest.approx(export.error, rel=1e-3)
    said = json.loads((export.folder / MANIFEST).read_text())["adapter"]
    assert said["relative_error"] == export.error
    assert said["worst"] == {"module": export.worst[0], "relative_error": export.worst[1]}
    assert said["exact"] is False
    text = (export.folder / "README.md").read_text()
    assert f"{export.error:.2g} of its change is missing" in text


def test_matrices_in_half_precision_have_their_rounding_in_the_error(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes)
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, dtype=torch.bfloat16)
    assert 1e-4 < export.error < 1e-2
    found = open_checkpoint(export.folder, base)
    assert distance(found, merged, base) == pytest.approx(export.error, rel=1e-2)


def test_one_task_alone_is_its_own_adapter_again(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes, weights={"a": 1.0, "b": 0.0})
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)
    assert export.rank == 2
    assert distance(open_checkpoint(export.folder, base), finetunes["a"], base) < 1e-6


def test_an_adapter_with_magnitudes_is_cut_off(tmp_path):
    base, finetunes, fresh = make_tasks(tmp_path, wide_bert, a={"target_modules": ["query"], "use_dora": True})
    merged = merged_of(base, finetunes)
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, rank=8)
    assert 0 < export.error < 1
    assert not export.is_exact
    assert distance(by_peft(fresh, export.folder), merged, base) == pytest.approx(export.error, rel=1e-3)


def test_the_configuration_is_one_that_peft_writes(tmp_path):
    base, finetunes, _ = make_tasks(
        tmp_path, bert, a={"target_modules": ATTENTION, "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"}
    )
    export = export_adapter(tmp_path / "out", merged_of(base, finetunes), base=base, finetunes=finetunes, card=CARD)
    config = peft.LoraConfig.from_pretrained(export.folder)
    assert (config.r, config.lora_alpha, config.task_type) == (5, 5, "SEQ_CLS")
    assert set(config.modules_to_save) == {"classifier", "score"}  # peft adds the second one itself
    assert config.base_model_name_or_path == json.loads((tmp_path / "a" / "adapter_config.json").read_text()).get(
        "base_model_name_or_path"
    )
    names = {file.name for file in export.folder.iterdir()}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "README.md", MANIFEST}
    assert "PeftModel.from_pretrained(BertForSequenceClassification" in (export.folder / "README.md").read_text()


def test_the_tokenizer_comes_along_and_the_configuration_of_the_model_does_not(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    (tmp_path / "base" / "tokenizer.json").write_text("{}")
    base = open_checkpoint(tmp_path / "base")
    export = export_adapter(tmp_path / "out", merged_of(base, finetunes), base=base, finetunes=finetunes, card=CARD)
    assert (export.folder / "tokenizer.json").exists()
    assert not (export.folder / "config.json").exists()


def test_adapters_opened_on_a_base_of_their_own_are_understood(tmp_path):
    base, _, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION, "modules_to_save": ["classifier"]})
    finetunes = {task: open_checkpoint(tmp_path / task, tmp_path / "base") for task in "ab"}
    export = export_adapter(tmp_path / "out", merged_of(base, finetunes), base=base, finetunes=finetunes, card=CARD)
    assert export.is_exact
    held = open_checkpoint(export.folder / "adapter_model.safetensors", base)
    assert distance(held, merged_of(base, finetunes), base) < 1e-6


class Alike(torch.nn.Module):
    """Two layers, the name of one being the end of the other's."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.ModuleDict({"layer": torch.nn.Linear(12, 12)})
        self.layer = torch.nn.Linear(12, 12)


@pytest.mark.parametrize("small", ["inner.layer", "layer"])
def test_ranks_belong_to_whole_names(tmp_path, small):
    ranks = {"target_modules": ["layer"], "rank_pattern": {f"^{small}": 1}}
    base, finetunes, fresh = make_tasks(tmp_path, Alike, a=ranks)
    merged = merged_of(base, finetunes)
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)
    assert export.ranks.pop(small) <= 2
    assert list(export.ranks.values()) == [5]
    for found in (by_peft(fresh, export.folder), open_checkpoint(export.folder, base)):
        assert distance(found, merged, base) < 2e-6


OTHER = "bert.encoder.layer.0.output.dense.weight"


def test_moves_outside_the_adapters_are_refused_and_with_a_rank_left_out_and_said(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes)
    merged[OTHER] = merged[OTHER] + 0.1
    with pytest.raises(CheckpointError, match=r"moves 1 tensors that no adapter changes, first 'bert\.encoder.*enrich"):
        export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)
    export = export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, rank=5)
    assert export.left_out == (OTHER,)
    assert not export.is_exact
    assert distance(open_checkpoint(export.folder, base), merged, base) == pytest.approx(export.error, rel=1e-3)
    assert "1 further tensors" in (export.folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        (lambda m: m, {"rank": 0}, "rank of at least 1"),
        (lambda m: m, {"tolerance": 1.0}, r"tolerance in \[0, 1\)"),
        (lambda m: {k: v for k, v in m.items() if "query" not in k}, {}, "lacks 'bert.encoder.layer.0"),
        (lambda m: m | {"new": torch.ones(2)}, {}, "'new', which the base has not"),
        (lambda m: m | {OTHER: torch.ones(3)}, {}, r"shape \[3\] in the merge"),
    ],
)
def test_what_cannot_be_an_adapter_is_refused(tmp_path, change, settings, expected):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    merged = change(merged_of(base, finetunes))
    with pytest.raises(CheckpointError, match=expected):
        export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD, **settings)
    assert not (tmp_path / "out").exists()


def test_a_merge_that_no_low_rank_is_near_is_refused(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    merged = merged_of(base, finetunes, Ties(density=0.3))
    with pytest.raises(CheckpointError, match=r"no low rank is within 0\.001.*--tolerance.*--rank"):
        export_adapter(tmp_path / "out", merged, base=base, finetunes=finetunes, card=CARD)


def test_a_merge_that_is_the_base_is_refused(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    with pytest.raises(CheckpointError, match="the merge is the base itself"):
        export_adapter(tmp_path / "out", dict(base), base=base, finetunes=finetunes, card=CARD)


def test_whole_finetunes_are_refused(tmp_path):
    base, finetunes, _ = make_tasks(tmp_path, bert, a={"target_modules": ATTENTION})
    mixed = {"a": finetunes["a"], "b": base}
    with pytest.raises(CheckpointError, match="the finetune of 'b' is no adapter but a whole model"):
        export_adapter(tmp_path / "out", dict(base), base=base, finetunes=mixed, card=CARD)
