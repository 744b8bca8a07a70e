"""Models whose layers are in several places: devices are the main memory and the disk, since there is no other here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.problems.tiny_models import llama
from torch import Tensor, nn

from paretomerge.errors import RecipeError, StorageError
from paretomerge.problems import ModelPlacement, place_model
from paretomerge.problems.models import BuildModel
from paretomerge.types import PLACES, load_in_place, tensors_of

pytest.importorskip("accelerate", reason="the optional extra hf is not installed")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = nn.Linear(16, 16), nn.BatchNorm1d(16)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.norm(torch.tanh(self.inner(inputs)))


class Deep(nn.Module):
    """Blocks, an output layer tied to the first one, and a buffer that no state dict holds."""

    _no_split_modules = ("Block",)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16, bias=False)
        self.blocks = nn.ModuleList([Block() for _ in range(4)])
        self.last = nn.Linear(16, 16, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return self.last(hidden) * self.scale


INPUTS = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
SPLIT = {"first": "cpu", "blocks.0": "cpu", "blocks.1": "disk", "blocks.2": "disk", "blocks.3": "cpu", "last": "cpu"}


def whole(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = Deep().eval()
    with torch.no_grad():
        for block in module.blocks:
            block.norm.running_mean.normal_()
    return module


@pytest.mark.parametrize("device_map", [{"": "cpu"}, {"": "disk"}, {**SPLIT, "scale": "cpu"}, "auto", "sequential"])
def test_it_computes_what_the_whole_model_computes(device_map: str | dict[str, str], tmp_path: Path) -> None:
    limits = {"cpu": "4KB"} if isinstance(device_map, str) else None
    module = place_model(Deep, ModelPlacement(device_map, limits, str(tmp_path)))
    for seed in (1, 2):  # one model after the other is written into the same places
        expected = whole(seed)
        load_in_place(module, expected.state_dict())
        with torch.no_grad():
            assert torch.equal(module(INPUTS), expected(INPUTS))
    for name, tensor in tensors_of(module).items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


def test_layers_on_the_disk_take_no_memory_and_leave_nothing_behind(tmp_path: Path) -> None:
    module = place_model(Deep, ModelPlacement({**SPLIT, "scale": "cpu"}, offload=str(tmp_path)))
    where = {name: parameter.device.type for name, parameter in module.named_parameters()}
    assert {name for name, device in where.items() if device == "meta"} == set(getattr(module, PLACES))
    assert where["blocks.1.inner.weight"] == "meta"
    assert where["blocks.0.inner.weight"] == "cpu"
    load_in_place(module, whole().state_dict())
    module(INPUTS)
    assert {name: parameter.device.type for name, parameter in module.named_parameters()} == where
    assert not list(tmp_path.iterdir())  # the files are gone with the process, however it ends


def test_a_limit_for_the_main_memory_sends_the_rest_to_the_disk(tmp_path: Path) -> None:
    module = place_model(Deep, ModelPlacement("auto", {"cpu": "4KB"}, str(tmp_path)))
    devices = {parameter.device.type for parameter in module.parameters()}
    assert devices == {"cpu", "meta"}


def test_a_language_model_with_a_tied_output_layer_writes_the_same(tmp_path: Path) -> None:
    import transformers

    folder = llama(tmp_path / "llama", num_hidden_layers=2, tie_word_embeddings=True)
    expected = BuildModel(folder, "CausalLM")().eval()
    placement = ModelPlacement({"model.layers.0": "cpu", "": "disk"}, offload=str(tmp_path))
    module = place_model(BuildModel(folder, "CausalLM"), placement)
    load_in_place(module, expected.state_dict())
    tokens = torch.tensor([[1, 4, 5, 6], [1, 7, 8, 9]])
    settings = transformers.GenerationConfig(max_new_tokens=4, do_sample=False, pad_token_id=0)
    with torch.no_grad():
        found, wanted = (
            each(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits for each in (module, expected)
        )
        assert torch.equal(found, wanted)
        found, wanted = (
            each.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), generation_config=settings)
            for each in (module, expected)
        )
    assert torch.equal(found, wanted)


def test_a_dtype_rounds_what_a_checkpoint_holds_and_leaves_other_buffers() -> None:
    module = place_model(Deep, ModelPlacement({"": "disk"}, dtype="bfloat16"))
    expected = whole()
    load_in_place(module, expected.state_dict())
    assert tensors_of(module)["first.weight"].dtype == torch.bfloat16
    assert torch.equal(tensors_of(module)["first.weight"], expected.first.weight.bfloat16())
    assert tensors_of(module)["blocks.0.norm.running_mean"].dtype == torch.bfloat16
    assert module.scale.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(module(INPUTS).float(), expected(INPUTS), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (ModelPlacement({"first": "cpu"}), "it gives no device for 'blocks"),
        (ModelPlacement({"": "cpu", "blocks.9": "disk"}), "Deep has no layer 'blocks.9'"),
        (ModelPlacement({"": "cpu", "last": "disk"}), "'first.weight' and 'last.weight' are one tensor, and placed on"),
        (ModelPlacement({"": "nowhere"}), "the model cannot be placed so"),
        (ModelPlacement("auto", {"cpu": "much"}), "the model cannot be placed so"),
    ],
)
def test_what_cannot_be_placed_is_said(placement: ModelPlacement, message: str) -> None:
    with pytest.raises(RecipeError, match=r"placement") as caught:
        place_model(Deep, placement)
    assert message in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(RecipeError, match="the model cannot be placed so"):
        place_model(Deep, ModelPlacement({"": "cuda:0"}))


def test_unknown_words_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"placement.device_map: 'everywhere' is no way"):
        ModelPlacement("everywhere")
    with pytest.raises(RecipeError, match=r"placement.dtype: 'int8' is none of"):
        ModelPlacement(dtype="int8")


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(StorageError, match="file"):
        place_model(Deep, ModelPlacement({"": "disk"}, offload=str(file)))


@pytest.mark.slow
def test_a_merge_streamed_into_files_never_holds_the_model(tmp_path: Path) -> None:
    """Of a model of 256 MB in 16 layers, merged from two checkpoints and run, the process never holds a third."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.problems.streamed_merge", str(tmp_path), "16", "2048"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    model, merged, run = (int(word) for word in found.stdout.split())
    assert model == 16 * 2048 * 2048 * 4
    assert merged < model / 3
    assert run < model / 3
