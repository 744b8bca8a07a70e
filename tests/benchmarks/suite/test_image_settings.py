"""The settings of images: whose images, which models, and what merged statistics they get.

All but the marked tests run on images made up here, in place of the packages.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.assets.images import Images
from benchmarks.suite.models import DualEncoder, ImageViT, SmallCNN
from benchmarks.suite.recording import recall, record
from benchmarks.suite.run import record_truth
from benchmarks.suite.setting import Setting
from benchmarks.suite.settings import DEFINITIONS, image_tasks
from benchmarks.suite.settings.dual_encoder import CAPTIONS, contrastive_loss, vocabulary
from benchmarks.suite.settings.image_tasks import SMOKE, TASKS, Sizes, Task, four_task_weights, image_splits
from torch import Tensor, nn

from paretomerge.curvature import FitDiagonal, FitSubspace, fit_curvatures
from paretomerge.training import refresh_statistics

NAMES = ("images", "images-cnn", "dual-encoder")
ASSETS = os.environ.get("PARETOMERGE_ASSETS", "")
needs_assets = pytest.mark.skipif(not ASSETS, reason="needs a folder of packages: PARETOMERGE_ASSETS=DIR")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of noise that all differ, of which every pixel tells the data set, and labels."""

    def source(offset: int) -> dict[str, Images]:
        rng = np.random.default_rng(offset)
        parts = {"train": 300, "test": 60}
        return {
            part: Images(rng.integers(offset, offset + 100, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n))
            for part, n in parts.items()
        }

    digits, clothes = source(0), source(150)
    kinds = {"digits": lambda assets: digits, "clothes": lambda assets: clothes}
    found = {name: Task(kinds[name.split("-")[0]], task.transform) for name, task in TASKS.items()}
    monkeypatch.setattr(image_tasks, "TASKS", found)


def smoke(name: str, folder: Path, seed: int = 0) -> Setting:
    return DEFINITIONS[name].build(folder, folder / "assets", seed, True)


def flat(images: Tensor) -> set[bytes]:
    return {image.contiguous().numpy().tobytes() for image in images}


@pytest.mark.usefixtures("made_up")
def test_no_image_is_in_two_splits_or_two_tasks(tmp_path: Path) -> None:
    splits = image_splits(tmp_path, 0, SMOKE)
    upright = {
        "digits": lambda images: images,
        "clothes": lambda images: images,
        "digits-rotated": lambda images: torch.rot90(images, -1, (1, 2)),
        "clothes-mirrored": lambda images: images.flip(2),
    }
    everything = [flat(upright[task](images)) for task, found in splits.items() for images, _ in found.values()]
    assert len(set.union(*everything)) == sum(map(len, everything)) == 4 * (30 + 60 + 20 + 20)


@pytest.mark.usefixtures("made_up")
def test_images_come_with_their_labels_from_the_part_they_belong_to(tmp_path: Path) -> None:
    splits = image_splits(tmp_path, 0, SMOKE, ("digits-rotated",))["digits-rotated"]
    assert {split: len(images) for split, (images, _) in splits.items()} == vars(SMOKE)
    known = splits["pretraining"][0]
    torch.testing.assert_close(known.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(known.std(), torch.tensor(1.0), atol=1e-4, rtol=0)
    held = image_tasks.TASKS["digits"].source(tmp_path)
    for split, part in (("training", "train"), ("test", "test")):
        turned = np.rot90(held[part].images, 1, (1, 2)).reshape(len(held[part].labels), -1).astype(float)  # type: ignore[index]
        for image, label in zip(*splits[split], strict=True):
            # Standardised images are an increasing line of the original ones.
            fits = np.abs(np.corrcoef(image.flatten().numpy(), turned)[0, 1:] - 1) < 1e-6
            assert held[part].labels[fits].tolist() == [label]  # type: ignore[index]


@pytest.mark.usefixtures("made_up")
def test_a_task_has_the_same_images_whichever_others_there_are_and_others_by_seed(tmp_path: Path) -> None:
    labels = [image_splits(tmp_path, seed, SMOKE, tasks)["clothes"]["training"][1] for seed, tasks in SEEN]
    assert torch.equal(labels[0], labels[1])
    assert not torch.equal(labels[0], labels[2])


SEEN = ((0, tuple(TASKS)), (0, ("clothes", "digits")), (1, tuple(TASKS)))


def test_weightings_of_four_tasks_are_balanced_and_eleven_give_all_some_weight() -> None:
    weights = four_task_weights()
    assert weights.shape == (15, 4)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-15)
    np.testing.assert_allclose(weights.mean(0), 0.25, rtol=1e-15)
    assert (weights.min(1) > 0).tolist() == [True] * 11 + [False] * 4
    assert weights.max() < 1
    assert len(np.unique(weights, axis=0)) == 15


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("name", NAMES)
def test_a_setting_trains_records_and_has_curvature(name: str, tmp_path: Path) -> None:
    setting = smoke(name, tmp_path)
    record_truth(setting, tmp_path)
    joint = recall(setting, tmp_path / "truth" / "joint")
    assert np.isfinite(joint.scores().values).all()
    for fit in (FitDiagonal(examples=4), FitSubspace(examples=4, gradient_examples=4)):
        found = fit_curvatures(setting.problem, setting.base, setting.finetunes, fit)
        assert all(part.mean for part in found.posteriors(0.1).values())


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("name", NAMES)
def test_the_base_depends_on_the_seed_alone_and_not_on_the_clock(name: str, tmp_path: Path) -> None:
    first, again = (smoke(name, tmp_path / folder).base for folder in ("first", "again"))
    other = smoke(name, tmp_path / "other", seed=1).base
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.usefixtures("made_up")
def test_merged_models_are_scored_with_statistics_of_their_mixture_where_those_are_better(tmp_path: Path) -> None:
    setting = smoke("images-cnn", tmp_path)
    row = np.array([0.7, 0.3, 0.0, 0.0])
    alpha = dict(zip(setting.tasks, row.tolist(), strict=True))
    spoiled = {name: tensor * 1e-4 if "running_var" in name else tensor for name, tensor in setting.base.items()}
    good = refresh_statistics(setting.problem, setting.base, alpha, examples=150)
    record(setting, tmp_path / "merged", row[None], [spoiled])
    record(setting, tmp_path / "expected", row[None], [good], finish=lambda params, weights: params)
    merged, expected = (recall(setting, tmp_path / kind).scores().values for kind in ("merged", "expected"))
    np.testing.assert_array_equal(merged, expected)


@pytest.mark.usefixtures("made_up")
def test_statistics_are_chosen_on_validation_images_of_the_tasks_with_weight(tmp_path: Path) -> None:
    setting = smoke("images-cnn", tmp_path)
    row = np.array([0.0, 0.6, 0.4, 0.0])
    alpha = dict(zip(setting.tasks, row.tolist(), strict=True))
    evaluator = setting.evaluator("validation")
    chosen = set()
    for factor in (1e-4, 0.5, 1.0, 30.0):
        given = {name: tensor * factor if "running_var" in name else tensor for name, tensor in setting.base.items()}
        fresh = refresh_statistics(setting.problem, given, alpha, examples=150)
        losses = [sum(row[t] * evaluator(p, setting.tasks[t])["loss"].mean() for t in (1, 2)) for p in (fresh, given)]
        expected = (fresh, given)[int(losses[1] < losses[0])]
        found = setting.finish(given, row)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        chosen.add(expected is given)
    assert chosen == {True, False}


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(("row", "shares"), [([2.0, 1, -1, 1], [0.5, 0.25, 0, 0.25]), ([0.0, 0, -1, 0], [0.25] * 4)])
def test_coefficients_off_the_simplex_count_by_their_positive_shares(
    row: list[float], shares: list[float], tmp_path: Path
) -> None:
    setting = smoke("images-cnn", tmp_path)
    found, expected = (setting.finish(setting.base, np.array(given)) for given in (row, shares))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("model", [ImageViT(16, 2), SmallCNN((4, 4)), DualEncoder(9, 4, 16, 1, 8, 8)])
def test_examples_do_not_see_each_other_in_evaluation_mode(model: nn.Module, generator: torch.Generator) -> None:
    model = model.double().eval()
    images = torch.randn(5, 28, 28, generator=generator, dtype=torch.float64)
    given = [images]
    if isinstance(model, DualEncoder):
        given.append(torch.randint(1, 9, (5, 3, 4), generator=generator))
    together = model(*given)
    for place in range(5):
        alone = model(*(part[place : place + 1] for part in given))
        torch.testing.assert_close(alone[0], together[place], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", [ImageViT(16, 2), SmallCNN((4, 4)), DualEncoder(9, 4, 16, 1, 8, 8)])
def test_models_can_be_differentiated_forwards(model: nn.Module, generator: torch.Generator) -> None:
    """A derivative along random directions is the slope between two near points."""
    model = model.double().eval()
    images = torch.randn(2, 28, 28, generator=generator, dtype=torch.float64)
    extra = (torch.randint(1, 9, (2, 3, 4), generator=generator),) if isinstance(model, DualEncoder) else ()
    point = dict(model.named_parameters())
    along = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in point.items()}

    def outputs(params: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, params, (images, *extra))

    _, slope = torch.func.jvp(outputs, (point,), (along,))
    step = 1e-6
    ahead, behind = (
        outputs({name: p.detach() + sign * step * along[name] for name, p in point.items()}) for sign in (1, -1)
    )
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


def test_a_dual_encoder_compares_directions_and_is_blind_for_padding(generator: torch.Generator) -> None:
    model = DualEncoder(9, 4, 16, 1, 8, 8).double()
    images = torch.randn(2, 28, 28, generator=generator, dtype=torch.float64)
    captions = torch.tensor([[[1, 2, 0, 0], [3, 4, 5, 6], [7, 0, 0, 0]]]).expand(2, -1, -1)
    logits = model(images, captions)
    seen, read = model.image(images), model.text(captions)
    expected = 10 * torch.cosine_similarity(seen[:, None], read, dim=-1)
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)
    turned = [2, 0, 1]
    torch.testing.assert_close(model(images, captions[:, turned]), logits[:, turned])
    with torch.no_grad():
        model.text.words.weight[0, 0] += 5
        model.text.position[3, 0] += 7
    changed = model(images, captions)
    torch.testing.assert_close(changed[:, [0, 2]], logits[:, [0, 2]], rtol=1e-12, atol=1e-12)
    assert (changed[:, 1] - logits[:, 1]).abs().min() > 1e-6


def test_captions_are_told_apart_and_digits_share_theirs() -> None:
    assert CAPTIONS["digits"] == CAPTIONS["digits-rotated"]
    spoken = {caption for captions in CAPTIONS.values() for caption in captions}
    assert len(spoken) == 20
    assert sorted(vocabulary().values()) == list(range(1, len(vocabulary()) + 1))


def test_contrastive_loss_takes_every_caption_of_the_class_for_right(generator: torch.Generator) -> None:
    model = DualEncoder(9, 2, 16, 1, 8, 8)
    images = torch.randn(3, 28, 28, generator=generator)
    captions = torch.tensor([[1, 2], [3, 4]]).expand(3, -1, -1)
    labels = torch.tensor([1, 0, 1])
    logits = model(images, captions[:, labels])  # of every image with every image's caption
    rows, columns = logits.log_softmax(1), logits.log_softmax(0)
    by_image = -((rows[0, 0] + rows[0, 2]) / 2 + rows[1, 1] + (rows[2, 0] + rows[2, 2]) / 2) / 3
    by_caption = -((columns[0, 0] + columns[2, 0]) / 2 + columns[1, 1] + (columns[0, 2] + columns[2, 2]) / 2) / 3
    found = contrastive_loss(model, ({"images": images, "captions": captions}, labels))
    torch.testing.assert_close(found, (by_image + by_caption) / 2)


@needs_assets
@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_version_is_built_from_the_packages(name: str, tmp_path: Path) -> None:
    setting = DEFINITIONS[name].build(tmp_path, Path(ASSETS), 0, True)
    assert all(setting.problem.count_examples(task, "test") == SMOKE.test for task in setting.tasks)
    assert np.isfinite(list(setting.evaluator()(setting.base, setting.tasks[0])["loss"])).all()


@needs_assets
def test_there_are_enough_images_for_every_share() -> None:
    for task, splits in image_splits(Path(ASSETS), 0).items():
        assert {split: len(labels) for split, (_, labels) in splits.items()} == vars(Sizes()), task
