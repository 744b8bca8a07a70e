"""Batch statistics of a merged model are those of a full pass over the mixture of the tasks' data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, DataError, WeightsError
from paretomerge.training import refresh_statistics
from paretomerge.types import Batch, Problem, Split, load_in_place

TASKS = ("a", "b", "c")
COUNTS = {"a": 12, "b": 12, "c": 7}
EVEN = {"a": 0.5, "b": 0.5, "c": 0.0}


class Net(nn.Module):
    """Three batch normalisations in a row, over images and over rows, each behind something that is not linear."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.first = nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, momentum=0.3)
        self.up, self.second = nn.Linear(12, 5), nn.BatchNorm1d(5, momentum=None)
        self.down, self.third = nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(self.convolution(images)).relu().flatten(1)
        return self.third(self.down(self.second(self.up(hidden)).tanh()))


def images_of(task: str, split: Split = "training") -> Tensor:
    """Far from zero, where sums of squares would lose digits; every task elsewhere and as wide as it likes."""
    generator = torch.Generator().manual_seed(10 * TASKS.index(task) + len(split))
    number = TASKS.index(task)
    shape = (COUNTS[task], 2, 3, 3)
    return 1e3 + 5 * number + (1 + number) * torch.randn(shape, generator=generator, dtype=torch.float64)


def problem_of(build: Callable[[], nn.Module] = Net, size: int = 5) -> Problem:
    def data(task: str, split: Split) -> list[Batch]:
        images = images_of(task, split)
        return [(part, torch.zeros(len(part), dtype=torch.long)) for part in images.split(size)]

    return Problem(TASKS, build, data)


@pytest.fixture
def params(generator: torch.Generator) -> dict[str, Tensor]:
    """Those of a merged model, with statistics of no use."""
    torch.manual_seed(0)
    found = {name: tensor.clone() for name, tensor in Net().state_dict().items()}
    for name, tensor in found.items():
        if "running" in name:
            tensor.uniform_(0.5, 3.0, generator=generator)
        if name.endswith("tracked"):
            tensor.fill_(17)
    return found


def outputs(params: dict[str, Tensor], images: Tensor, *, training: bool = False) -> Tensor:
    module = Net().train(training)
    load_in_place(module, params)
    with torch.no_grad():
        return module(images)


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-9, atol=1e-9)


def test_the_model_evaluates_as_it_trains_on_all_of_the_mixture_in_one_batch(params: dict[str, Tensor]) -> None:
    found = refresh_statistics(problem_of(), params, EVEN)
    mixture = torch.cat([images_of("a"), images_of("b")])
    close(outputs(found, mixture), outputs(params, mixture, training=True))


def test_statistics_are_those_that_torch_finds_in_one_full_pass(params: dict[str, Tensor]) -> None:
    found = refresh_statistics(problem_of(), params, EVEN)
    module = Net().train()
    load_in_place(module, params)
    norms = {"first": module.first, "second": module.second, "third": module.third}
    for norm in norms.values():
        norm.momentum = 1.0  # what this pass finds, and nothing of before
    with torch.no_grad():
        module(torch.cat([images_of("a"), images_of("b")]))
    for name, norm in norms.items():
        count = 24 * (4 if name == "first" else 1)
        close(found[f"{name}.running_mean"], norm.running_mean)
        close(found[f"{name}.running_var"], norm.running_var * (count - 1) / count)  # torch keeps the unbiased one


def test_weights_count_whatever_the_numbers_of_examples(params: dict[str, Tensor]) -> None:
    """Twelve of a, seven of c at 3 : 1 are as 21 copies of a's and 12 of c's in one pass."""
    found = refresh_statistics(problem_of(), params, {"a": 0.75, "b": 0.0, "c": 0.25})
    mixture = torch.cat([images_of("a").repeat(21, 1, 1, 1), images_of("c").repeat(12, 1, 1, 1)])
    close(outputs(found, mixture), outputs(params, mixture, training=True))


def test_statistics_are_those_of_a_calculation_with_arrays(params: dict[str, Tensor]) -> None:
    """A naive twin in numpy: weighted moments of a list of values, layer by layer."""
    alpha = {"a": 0.2, "b": 0.5, "c": 0.3}
    found = refresh_statistics(problem_of(), params, alpha)
    arrays = {name: tensor.numpy() for name, tensor in params.items()}
    hidden = {task: correlated(images_of(task).numpy(), arrays) for task in TASKS}
    hidden, mean, variance = normalised(hidden, alpha, arrays, "first")
    close(found["first.running_mean"], mean)
    close(found["first.running_var"], variance)
    rows = {task: np.maximum(values, 0).reshape(len(values), -1) for task, values in hidden.items()}
    rows = {task: values @ arrays["up.weight"].T + arrays["up.bias"] for task, values in rows.items()}
    rows, mean, variance = normalised(rows, alpha, arrays, "second")
    close(found["second.running_mean"], mean)
    close(found["second.running_var"], variance)
    rows = {task: np.tanh(values) @ arrays["down.weight"].T + arrays["down.bias"] for task, values in rows.items()}
    _, mean, variance = normalised(rows, alpha, {}, "third")
    close(found["third.running_mean"], mean)
    close(found["third.running_var"], variance)


def correlated(images: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """`nn.Conv2d` with windows of 2 × 2, by its definition."""
    weight, bias = arrays["convolution.weight"], arrays["convolution.bias"]
    found = np.zeros((len(images), 3, 2, 2))
    for row, column in np.ndindex(2, 2):
        window = images[:, :, row : row + 2, column : column + 2]
        found[:, :, row, column] = (window[:, None] * weight[None]).sum((2, 3, 4)) + bias
    return found


def normalised(
    values: dict[str, np.ndarray], alpha: dict[str, float], arrays: dict[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Every task's values, normalised by the moments of their mixture; and those moments."""
    lists = {task: np.moveaxis(given, 1, 0).reshape(given.shape[1], -1) for task, given in values.items()}
    shares = np.concatenate([np.full(lists[task].shape[1], alpha[task] / lists[task].shape[1]) for task in values])
    together = np.concatenate([lists[task] for task in values], axis=1)
    mean = together @ shares
    variance = (together - mean[:, None]) ** 2 @ shares
    shape = (1, -1) + (1,) * (next(iter(values.values())).ndim - 2)
    scale, shift = (arrays.get(f"{name}.{part}", default) for part, default in (("weight", 1.0), ("bias", 0.0)))
    slope = (scale / np.sqrt(variance + 1e-5)).reshape(shape)
    shift = np.broadcast_to(shift, mean.shape).reshape(shape)
    return {task: (given - mean.reshape(shape)) * slope + shift for task, given in values.items()}, mean, variance


def test_only_the_running_means_and_variances_change(params: dict[str, Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in params.items()}
    found = refresh_statistics(problem_of(), params, EVEN)
    assert list(found) == list(params)
    changed = {name for name in found if not torch.equal(found[name], params[name])}
    assert changed == {f"{norm}.running_{kind}" for norm in ("first", "second", "third") for kind in ("mean", "var")}
    for name, tensor in params.items():
        assert torch.equal(tensor, before[name])


def test_earlier_statistics_batches_and_absent_ones_make_no_difference(params: dict[str, Tensor]) -> None:
    found = refresh_statistics(problem_of(), params, EVEN)
    broken = {name: torch.full_like(v, torch.nan) if "running" in name else v for name, v in params.items()}
    absent = {name: value for name, value in params.items() if "running" not in name}
    for other in (broken, absent, found):
        again = refresh_statistics(problem_of(), other, EVEN)
        assert all(torch.equal(again[name], found[name]) for name in found)
    otherwise = refresh_statistics(problem_of(size=12), params, EVEN)
    for name, tensor in found.items():
        close(otherwise[name], tensor)


def test_the_same_call_gives_the_same_bits_and_draws_no_random_numbers(params: dict[str, Tensor]) -> None:
    state = torch.get_rng_state()
    problem = problem_of(lambda: net)
    net = Net()
    first = refresh_statistics(problem, params, EVEN)
    kept = {name: tensor.clone() for name, tensor in first.items()}
    torch.set_rng_state(state)
    refresh_statistics(problem, params, {"a": 0.0, "b": 0.0, "c": 1.0})  # in the same module
    assert all(torch.equal(first[name], tensor) for name, tensor in kept.items())
    again = refresh_statistics(problem, params, EVEN)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in kept.items():
        assert torch.equal(again[name], tensor)


def test_the_module_keeps_momentum_mode_and_count_and_has_no_hooks(params: dict[str, Tensor]) -> None:
    net = Net()
    refresh_statistics(problem_of(lambda: net), params, EVEN)
    assert (net.first.momentum, net.second.momentum, net.third.momentum) == (0.3, None, 0.1)
    assert not any(part.training for part in net.modules())
    assert not any(part._forward_pre_hooks for part in net.modules())
    assert int(net.first.num_batches_tracked) == 17


def test_a_failing_pass_leaves_no_hooks(params: dict[str, Tensor]) -> None:
    net = Net()
    problem = Problem(TASKS, lambda: net, lambda task, split: [(torch.zeros(2, 5), torch.zeros(2))])
    with pytest.raises(RuntimeError):
        refresh_statistics(problem, params, EVEN)
    assert not any(part._forward_pre_hooks for part in net.modules())


def test_the_first_examples_of_a_split_are_read(params: dict[str, Tensor]) -> None:
    found = refresh_statistics(problem_of(), params, {"a": 1.0, "b": 0.0, "c": 0.0}, examples=7, split="validation")
    seven = images_of("a", "validation")[:7]
    close(outputs(found, seven), outputs(params, seven, training=True))


def test_tasks_without_weight_are_not_read(params: dict[str, Tensor]) -> None:
    whole = problem_of()

    def data(task: str, split: Split) -> Any:
        assert task == "b"
        return whole.data(task, split)

    refresh_statistics(Problem(TASKS, Net, data), params, {"a": 0.0, "b": 1.0, "c": 0.0})


@pytest.mark.parametrize("build", [lambda: nn.Linear(9, 2), lambda: nn.BatchNorm2d(2, track_running_stats=False)])
def test_a_model_that_keeps_no_statistics_comes_back_as_it_is_and_reads_no_data(build: Callable[[], nn.Module]) -> None:
    def data(task: str, split: Split) -> Any:
        raise AssertionError

    given = dict(build().state_dict())
    found = refresh_statistics(Problem(TASKS, build, data), given, EVEN)
    assert found == given
    assert found is not given


def test_a_batch_normalisation_that_the_tasks_do_not_use_keeps_its_statistics() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
            self.double()

        def forward(self, images: Tensor) -> Tensor:
            return self.used(input=images)

    given = {name: tensor + 3 for name, tensor in Spare().state_dict().items()}
    found = refresh_statistics(problem_of(Spare), given, EVEN)
    assert torch.equal(found["spare.running_var"], given["spare.running_var"])
    values = torch.cat([images_of("a"), images_of("b")])
    close(found["used.running_mean"], values.mean((0, 2, 3)))
    close(found["used.running_var"], values.var((0, 2, 3), correction=0))


def test_a_module_under_two_names_is_written_under_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = self.two = nn.BatchNorm2d(2).double()

        def forward(self, images: Tensor) -> Tensor:
            return self.two(images)

    found = refresh_statistics(problem_of(Twice), dict(Twice().state_dict()), EVEN)
    assert torch.equal(found["one.running_mean"], found["two.running_mean"])
    close(found["one.running_mean"], torch.cat([images_of("a"), images_of("b")]).mean((0, 2, 3)))


def test_a_module_that_is_itself_a_normalisation_needs_no_prefix() -> None:
    given = nn.BatchNorm2d(2).double().state_dict()
    found = refresh_statistics(problem_of(lambda: nn.BatchNorm2d(2).double()), given, EVEN)
    close(found["running_mean"], torch.cat([images_of("a"), images_of("b")]).mean((0, 2, 3)))


def test_statistics_have_the_dtype_of_the_parameters(params: dict[str, Tensor]) -> None:
    half = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in params.items()}
    found = refresh_statistics(problem_of(), half, EVEN)
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: v.dtype for name, v in half.items()}


@pytest.mark.parametrize(
    ("weights", "examples", "error", "message"),
    [
        ({"a": 1.0, "b": 1.0, "c": 0.0}, None, WeightsError, "sum"),
        ({"a": 1.0, "other": 0.0}, None, WeightsError, "other"),
        (EVEN, 0, DataError, "at least one example"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    params: dict[str, Tensor], weights: dict[str, float], examples: int | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        refresh_statistics(problem_of(), params, weights, examples=examples)


def test_parameters_of_another_model_are_refused(params: dict[str, Tensor]) -> None:
    with pytest.raises(AlignmentError):
        refresh_statistics(problem_of(), {"other": params["up.bias"]}, EVEN)
