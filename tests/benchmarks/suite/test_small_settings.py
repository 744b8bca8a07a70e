from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.assets.images import Images
from benchmarks.suite.setting import Definition, Setting
from benchmarks.suite.settings import DEFINITIONS, conflicting, digit_images, many_tasks
from benchmarks.suite.settings.digit_images import LabelledImages, bundled_digits, reduced_mnist
from benchmarks.suite.settings.small_images import DigitTask, SmallImages, digit_problem

from paretomerge.demo.digits import SIZES, TASKS, batches_of
from paretomerge.types import Problem, Split

SMALL = (
    "conflicting",
    "adversarial",
    "imbalanced-10",
    "imbalanced-50",
    "many-tasks-8",
    "many-tasks-16",
    "scale-24",
    "scale-96",
    "scale-192",
)
SPLITS: tuple[Split, ...] = ("training", "validation", "test")
WITHOUT_ASSETS = tuple(name for name in SMALL if name != "imbalanced-50")


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return bundled_digits(3, Path("nowhere"))


def small(name: str) -> SmallImages:
    """What a definition builds from."""
    return DEFINITIONS[name].build.__self__  # type: ignore[attr-defined]


def images_of(problem: Problem, task: str, split: Split) -> torch.Tensor:
    return torch.cat([images for images, _ in problem.batches(task, split)])


def labels_of(problem: Problem, task: str, split: Split) -> torch.Tensor:
    return torch.cat([labels for _, labels in problem.batches(task, split)])


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.mark.parametrize("name", SMALL)
def test_weightings_are_distinct_points_of_the_simplex_and_no_corners(name: str) -> None:
    weights, tasks = small(name).weights, small(name).tasks
    assert weights.shape[1] == len(tasks)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (weights >= 0).all()
    assert weights.max() < 1
    names = {"-".join(f"{weight:.3f}" for weight in row) for row in weights}
    assert len(names) == len(weights), "two weightings share the folder of their trainings"


@pytest.mark.parametrize("name", SMALL)
def test_tasks_have_different_names_and_the_definition_goes_by_its_own(name: str) -> None:
    assert DEFINITIONS[name].name == name
    assert len({task.name for task in small(name).tasks}) == len(small(name).tasks)


@pytest.mark.parametrize("name", WITHOUT_ASSETS)
def test_splits_are_whole_but_for_training_sets_that_are_cut(name: str, digits: LabelledImages) -> None:
    problem = digit_problem(small(name).tasks, digits)
    for task in small(name).tasks:
        found = {split: problem.count_examples(task.name, split) for split in SPLITS}
        wanted = {**{split: SIZES[split] for split in SPLITS}, "training": task.training or SIZES["training"]}
        assert found == wanted


@pytest.mark.parametrize("name", ["conflicting", "imbalanced-10", "many-tasks-16"])
def test_no_image_is_in_two_splits_of_whatever_tasks(name: str, digits: LabelledImages) -> None:
    problem, tasks = digit_problem(small(name).tasks, digits), small(name).tasks
    base = digit_problem(
        [DigitTask(task.name, task.quarters, task.mirrored, task.inverted) for task in tasks],
        {"training": digits["pretraining"]},
    )
    seen: dict[str, set[bytes]] = {
        split: set[bytes]().union(*(rows(images_of(problem, t, split)) for t in problem.tasks)) for split in SPLITS
    }
    seen["pretraining"] = set[bytes]().union(*(rows(images_of(base, task, "training")) for task in base.tasks))
    parts = list(seen)
    for i, part in enumerate(parts):
        assert len(seen[part]) > 0
        for other in parts[i + 1 :]:
            assert not seen[part] & seen[other], (part, other)


def test_another_seed_divides_the_images_otherwise(digits: LabelledImages) -> None:
    other = bundled_digits(4, Path("nowhere"))
    assert not torch.equal(other["test"][1], digits["test"][1])


def test_upright_digits_are_those_of_the_demo(digits: LabelledImages) -> None:
    problem = digit_problem(small("scale-24").tasks, digits)
    for task in TASKS:
        for (images, labels), (wanted, known) in zip(
            problem.batches(task, "test"), batches_of(3, "test", task), strict=True
        ):
            assert torch.equal(images, wanted)
            assert torch.equal(labels, known)


@pytest.mark.parametrize(("name", "agree"), [("conflicting", {0, 1, 2, 3, 4}), ("adversarial", set())])
def test_the_same_images_have_opposed_labels_on_the_classes_that_are_said(
    name: str, agree: set[int], digits: LabelledImages
) -> None:
    problem = digit_problem(small(name).tasks, digits)
    one, other = problem.tasks
    for split in SPLITS:
        assert torch.equal(images_of(problem, one, split), images_of(problem, other, split))
        plain, opposed = labels_of(problem, one, split), labels_of(problem, other, split)
        equal = torch.isin(plain, torch.tensor(sorted(agree), dtype=torch.long))
        assert torch.equal(plain[equal], opposed[equal])
        assert (plain[~equal] != opposed[~equal]).all()
        assert (~equal).any()
        assert torch.equal(plain, digits[split][1])


@pytest.mark.parametrize("labels", [conflicting.OPPOSED, conflicting.ADVERSARIAL])
def test_other_names_are_a_permutation(labels: tuple[int, ...]) -> None:
    assert sorted(labels) == list(range(10))


@pytest.mark.parametrize("ratio", [10, 50])
def test_training_sizes_have_the_ratio_of_the_name_and_lie_in_geometric_progression(ratio: int) -> None:
    sizes = [task.training or 0 for task in small(f"imbalanced-{ratio}").tasks]
    assert sizes[0] / sizes[2] == ratio
    assert sizes[1] == pytest.approx((sizes[0] * sizes[2]) ** 0.5, abs=0.5)


def test_small_training_sets_are_the_first_images_of_the_large_one(digits: LabelledImages) -> None:
    problem = digit_problem(small("imbalanced-10").tasks, digits)
    large, few = images_of(problem, "upright", "training"), images_of(problem, "mirrored", "training")
    assert torch.equal(few, large[: len(few)].flip(2))
    assert torch.equal(labels_of(problem, "mirrored", "training"), labels_of(problem, "upright", "training")[:70])


def test_reduced_digits_have_their_sizes_and_no_image_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    numbered = {
        part: Images(random.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count) % 10)
        for part, count in (("train", 12_000), ("test", 1200))
    }
    monkeypatch.setattr(digit_images, "mnist", lambda assets: numbered)
    found = reduced_mnist(0, Path("nowhere"))
    wanted = {"pretraining": 300, "training": 10_000, "validation": 300, "test": 1000}
    assert {part: tuple(images.shape) for part, (images, _) in found.items()} == {
        part: (count, 8, 8) for part, count in wanted.items()
    }
    assert len(set().union(*(rows(images) for images, _ in found.values()))) == sum(wanted.values())
    assert not torch.equal(reduced_mnist(1, Path("nowhere"))["test"][0], found["test"][0])
    known = found["pretraining"][0]
    torch.testing.assert_close(torch.stack([known.mean(), known.std()]), torch.tensor([0.0, 1.0]), rtol=0, atol=1e-5)


def test_reduced_digits_are_means_of_nine_pixels_without_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.tile(np.arange(28, dtype=np.uint8), (12_000, 28, 1))
    ramp[::2] = 0  # else all images are equal, and have no spread
    monkeypatch.setattr(
        digit_images,
        "mnist",
        lambda assets: dict.fromkeys(("train", "test"), Images(ramp, np.arange(12_000))),
    )
    images, numbers = reduced_mnist(0, Path("nowhere"))["test"]
    image, empty = images[numbers % 2 == 1][0], images[numbers % 2 == 0][0]
    steps = (image - empty) / (image - empty)[0, 0]
    torch.testing.assert_close(steps, torch.arange(3.0, 27.0, 3).expand(8, 8) / 3)


def test_orientations_are_the_eight_symmetries_of_a_square() -> None:
    image = torch.arange(64.0).reshape(1, 8, 8)
    shown = [task.images(image) for task in many_tasks.orientations()]
    assert len(set().union(*map(rows, shown))) == 8
    for one in shown:
        assert any(torch.equal(torch.rot90(one, quarters, (1, 2)), image) for quarters in range(4)) or any(
            torch.equal(torch.rot90(one, quarters, (1, 2)), image.flip(2)) for quarters in range(4)
        )
    inverted = [task.images(image) for task in many_tasks.orientations(inverted=True)]
    assert all(torch.equal(one, -other) for one, other in zip(shown, inverted, strict=True))


def test_grids_of_many_tasks_lean_to_every_task_or_to_either_contrast() -> None:
    eight, sixteen = many_tasks.eight(), many_tasks.sixteen()
    np.testing.assert_array_equal(eight[0], 1 / 8)
    np.testing.assert_array_equal(sixteen[0], 1 / 16)
    assert eight[1:9].argmax(axis=1).tolist() == list(range(8))
    np.testing.assert_array_equal(eight[1:9].max(axis=1), 0.5625)
    np.testing.assert_array_equal(sixteen[1:3, :8].sum(axis=1), [0.75, 0.25])
    np.testing.assert_array_equal(many_tasks.eight(), eight)


@pytest.mark.parametrize(("name", "width", "parameters"), [("scale-24", 24, 15322), ("scale-96", 96, 227146)])
def test_scales_have_their_widths(name: str, width: int, parameters: int) -> None:
    assert small(name).width == width
    module = digit_problem(small(name).tasks, {}, small(name).width).build()
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Setting, Setting, Definition]:
    definition, folder = DEFINITIONS["conflicting"], tmp_path_factory.mktemp("conflicting")
    first, again = (definition.build(folder, Path("nowhere"), 5, True) for _ in range(2))
    return first, again, definition


def test_a_smoke_version_is_small_and_keeps_its_base(built: tuple[Setting, Setting, Definition]) -> None:
    first, again, definition = built
    assert first.name == definition.name
    assert (len(first.weights), first.repeats, first.repeated, first.recipe.steps) == (2, 2, 1, 4)
    assert all(first.problem.count_examples(task, split) == 20 for task in first.tasks for split in SPLITS)
    assert (first.folder / "base").is_dir()
    assert all(torch.equal(first.base[name], again.base[name]) for name in first.base)
    assert first.facts["parameters"] == 58282
