from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.merging import Averaging, ByPattern, ResidentMerge, TaskArithmetic, Ties, merge
from paretomerge.posteriors import Diagonal, Subspace, task_vector_basis


class Model(nn.Module):
    """An embedding tied to the output, a convolution, and a buffer that counts."""

    def __init__(self, seed=None):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.mix = nn.Conv2d(4, 4, 1)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("seen", torch.tensor(seed or 0))
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            for parameter in self.parameters():
                parameter.data = torch.randn(parameter.shape, generator=generator)


def own(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "out.weight"}


BASE, A, B = (own(Model(seed)) for seed in (1, 2, 3))
TASKS = {"a": A, "b": B}
RULES = (Averaging(), TaskArithmetic(1.5), Ties(density=0.5), ByPattern((("mix.*", TaskArithmetic(0.5)),), Ties()))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_loading_a_module_again_and_again_is_merging_each_time(rule):
    resident, model = ResidentMerge.of(TASKS, rule=rule, base=BASE), Model(9)
    places = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    params = resident.new_params()
    for weights in ([0.5, 0.5], [0.0, 1.0], [0.9, 0.1], [0.5, 0.5]):
        expected = merge(TASKS, weights, rule=rule, base=BASE)
        resident.load_into(model, weights)
        resident.merge_into(params, weights)
        state = model.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        assert all(torch.equal(params[name], expected[name]) for name in expected)
        assert model.out.weight is model.embed.weight
        assert {name: tensor.data_ptr() for name, tensor in state.items()} == places
        assert model.seen.item() == 1


def test_everything_is_read_once(tmp_path):
    write_params(tmp_path / "a", A)
    write_params(tmp_path / "b", B)
    resident = ResidentMerge.of({task: open_checkpoint(tmp_path / task) for task in "ab"}, rule=Averaging())
    (tmp_path / "a" / "model.safetensors").unlink()
    model = Model()
    resident.load_into(model, [0.25, 0.75])
    expected = merge(TASKS, [0.25, 0.75], rule=Averaging())
    assert all(torch.equal(model.state_dict()[name], expected[name]) for name in expected)


def test_a_half_precision_module_is_rounded_once():
    resident, model = ResidentMerge.of(TASKS, rule=Averaging(), accumulate=torch.float64), Model().half()
    resident.load_into(model, [0.3, 0.7])
    exact = 0.3 * A["mix.weight"].double() + 0.7 * B["mix.weight"].double()
    assert model.mix.weight.dtype == torch.float16
    unit = torch.finfo(torch.float16).eps
    assert bool(((model.mix.weight.double() - exact).abs() <= unit / 2 * exact.abs() + 2**-25).all())


def test_a_module_in_channels_last_is_written_in_its_own_layout():
    wide = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)
    tasks = {task: {name: torch.randn(t.shape) for name, t in wide.state_dict().items()} for task in "ab"}
    strides = wide.weight.stride()
    ResidentMerge.of(tasks, rule=Averaging()).load_into(wide, [1.0, 0.0])
    assert torch.equal(wide.weight, tasks["a"]["weight"])
    assert wide.weight.stride() == strides


def test_the_second_name_of_a_tied_parameter_is_not_written():
    """Rules that drop at random may merge the two names differently: the first holds."""
    tasks = {task: {**params, "out.weight": torch.full((7, 4), 100.0)} for task, params in TASKS.items()}
    model = Model(5)
    ResidentMerge.of(tasks, rule=Averaging()).load_into(model, [0.5, 0.5])
    expected = merge(TASKS, [0.5, 0.5], rule=Averaging())["embed.weight"]
    assert torch.equal(model.embed.weight, expected)
    assert torch.equal(model.out.weight, expected)


def test_buffers_that_the_merge_does_not_know_stay():
    params = {task: {name: t for name, t in own.items() if name != "seen"} for task, own in TASKS.items()}
    model = Model(6)
    ResidentMerge.of(params, rule=Averaging()).load_into(model, [0.5, 0.5])
    assert model.seen.item() == 6


def unchanged_after(error, message, resident, model, weights=(0.5, 0.5)):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(error, match=message):
        resident.load_into(model, weights)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_module_that_is_an_input_is_refused():
    model = Model(2)
    for resident in (
        ResidentMerge.of({"a": model.state_dict(), "b": B | {"out.weight": B["embed.weight"]}}, rule=Averaging()),
        ResidentMerge.of(TASKS, rule=Averaging(), base=model.state_dict()),
        ResidentMerge.of({"a": open_checkpoint(model), "b": {**B, "out.weight": B["embed.weight"]}}, rule=Averaging()),
    ):
        unchanged_after(AlignmentError, "is both an input of this merge and where it would be written", resident, model)


def test_another_architecture_is_refused():
    resident = ResidentMerge.of(TASKS, rule=Averaging())
    unchanged_after(AlignmentError, "lack 'weight': they belong to another", resident, nn.Linear(2, 2))
    smaller = Model(1)
    smaller.embed = nn.Embedding(6, 4)
    smaller.out.weight = smaller.embed.weight
    unchanged_after(AlignmentError, r"'embed.weight' has shape \[7, 4\], the model expects \[6, 4\]", resident, smaller)


def test_bad_weights_leave_the_module_as_it_was():
    resident = ResidentMerge.of(TASKS, rule=Averaging())
    unchanged_after(WeightsError, "weights sum to 2", resident, Model(1), [1.0, 1.0])
    unchanged_after(WeightsError, "2 weightings where one", resident, Model(1), [[1.0, 0.0], [0.0, 1.0]])
    unchanged_after(WeightsError, "unknown task 'c'", resident, Model(1), {"a": 0.5, "c": 0.5})


def test_the_arguments_are_checked_as_those_of_merge():
    with pytest.raises(PosteriorError, match="nothing to merge"):
        ResidentMerge.of({})
    with pytest.raises(WeightsError, match="float32 or float64"):
        ResidentMerge.of(TASKS, accumulate=torch.float16)


def test_diagonal_and_subspace_posteriors_stay_resident_too():
    names = [name for name in A if A[name].is_floating_point()]
    tunes = {task: {name: params[name] for name in names} for task, params in TASKS.items()}
    origin = {name: BASE[name] for name in names}
    diagonal = {task: Diagonal(p, {n: t.square() + 0.1 for n, t in p.items()}) for task, p in tunes.items()}
    basis = task_vector_basis(origin, tunes, "tensor")
    eye = torch.eye(len(basis), dtype=torch.float64)
    subspace = {
        task: Subspace(origin, basis, (k + 1) * eye, (k + 1) * basis.corner(task)) for k, task in enumerate("ab")
    }
    for posteriors in (diagonal, subspace):
        model = Model(8)
        resident = ResidentMerge.of(posteriors)
        assert {n: t.shape for n, t in resident.new_params().items()} == {n: t.shape for n, t in origin.items()}
        for weights in ([0.5, 0.5], [0.2, 0.8]):
            resident.load_into(model, weights)
            expected = merge(posteriors, weights)
            assert all(torch.equal(model.state_dict()[name], expected[name]) for name in names)


class Allocations(torch.utils._python_dispatch.TorchDispatchMode):
    """Bytes of every new tensor that an operation gives back, in this thread."""

    def __init__(self):
        super().__init__()
        self.seen, self.largest = set(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {
            t.untyped_storage().data_ptr()
            for t in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(t, torch.Tensor)
        }
        found = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_the_size_of_the_model_is_allocated(dtype, monkeypatch):
    """Only tiles: with tiles of 4 KB, no operation on a tensor of 4 MB makes anything larger than a few of them."""
    from paretomerge.arithmetic import tiles

    monkeypatch.setattr(tiles, "TILE", 1 << 10)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    tasks = {task: {"weight": torch.randn(1000, 1000).to(dtype)} for task in "ab"}
    precise = {t: Diagonal(p, {"weight": torch.rand(1000, 1000) + 0.1}) for t, p in tasks.items()}
    model = nn.Linear(1000, 1000, bias=False).to(dtype)
    for posteriors, rule in ((tasks, Averaging()), (precise, None)):
        resident = ResidentMerge.of(posteriors, **({"rule": rule} if rule else {}))
        with Allocations() as allocations:
            resident.load_into(model, [0.5, 0.5])
        assert allocations.largest <= 8 * 4 * (1 << 10)
    with Allocations() as allocations:  # what is watched does see a whole copy
        model.weight.detach().clone()
    assert allocations.largest == model.weight.numel() * dtype.itemsize
