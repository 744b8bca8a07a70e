from __future__ import annotations

import sys

import pytest
import torch

from paretomerge.demo.digits import SIZES, TASKS, batches_of, digits_problem, pretraining_problem
from paretomerge.demo.vit import SmallViT
from paretomerge.errors import MissingExtraError


def _images(seed: int, part: str, task: str = "upright") -> torch.Tensor:
    return torch.cat([images for images, _ in batches_of(seed, part, task)])


def test_tasks_are_turned_copies_of_the_same_images_with_the_same_labels() -> None:
    problem = digits_problem()
    [upright, rotated, mirrored] = (problem.batches(task, "test") for task in TASKS)
    for (a, labels), (b, of_b), (c, of_c) in zip(upright, rotated, mirrored, strict=True):
        assert torch.equal(a, torch.rot90(b, -1, (1, 2)))
        assert torch.equal(a, c.flip(2))
        assert torch.equal(labels, of_b)
        assert torch.equal(labels, of_c)


def test_splits_have_their_sizes_and_share_no_image() -> None:
    rows: set[bytes] = set()
    for part, size in SIZES.items():
        images = _images(0, part)
        assert images.shape == (size, 8, 8)
        found = {image.numpy().tobytes() for image in images}
        assert not rows & found
        rows |= found


def test_the_seed_in_the_recipe_decides_the_split() -> None:
    first = torch.cat([images for images, _ in digits_problem({"upright": "seed=1"}).batches("upright", "test")])
    assert torch.equal(first, _images(1, "test"))
    assert not torch.equal(first, _images(0, "test"))


def test_pretraining_sees_other_images_than_finetuning() -> None:
    problem = pretraining_problem(0)
    for split in ("training", "validation", "test"):
        assert sum(len(labels) for _, labels in problem.batches("rotated", split))  # type: ignore[arg-type] == SIZES["pretraining"]


def test_the_model_gives_ten_logits_per_image_and_has_forward_derivatives() -> None:
    model = SmallViT()
    images = _images(0, "test")[:4]
    assert model(images).shape == (4, 10)
    _, tangent = torch.func.jvp(model, (images,), (torch.ones_like(images),))
    assert tangent.shape == (4, 10)


def test_each_image_is_classified_by_itself() -> None:
    model = SmallViT().eval()
    images = _images(0, "test")[:4]
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), rtol=1e-4, atol=1e-5)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*paretomerge\[demo\]"):
        batches_of(77, "test", "upright")
