from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.problems.picture_files import Pooled, encoded, image, linear, pixels, write_classes
from torch import nn

import paretomerge
from paretomerge.checkpoints import open_checkpoint
from paretomerge.curvature import FitDiagonal, FitSubspace, fit_curvatures
from paretomerge.errors import CheckpointError, DataError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.problems import image_classification_problem
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Problem

SPLITS = ("training", "validation", "test")


def _targets(problem: Problem, task: str, split: Any) -> list[int]:
    return [int(target) for _, targets in problem.batches(task, split) for target in targets]


def _images(problem: Problem, task: str, split: Any) -> torch.Tensor:
    return torch.cat([inputs for inputs, _ in problem.batches(task, split)])


def _rows(labels: Any, **size: int) -> list[dict[str, Any]]:
    return [{"image": pixels(seed, **size), "label": label} for seed, label in enumerate(labels)]


def test_any_module_learns_from_folders_of_images(tmp_path: Path) -> None:
    write_classes(tmp_path / "a", count=40)
    problem = image_classification_problem(linear(), {"a": tmp_path / "a"}, batch_size=8, mean=0.5, std=0.25)
    assert {split: problem.count_examples("a", split) for split in SPLITS} == {
        "training": 64,
        "validation": 8,
        "test": 8,
    }
    start = problem.build().state_dict()
    tuned = finetune(problem, start, {"a": 1.0}, TrainingRecipe(steps=60, learning_rate=1e-2)).params
    found = SupervisedEvaluator(problem)(tuned, "a")
    assert float(found["accuracy"].mean()) == 1.0
    assert paretomerge.image_classification_problem is image_classification_problem


def test_images_and_labels_stay_together_in_the_random_order(tmp_path: Path) -> None:
    write_classes(tmp_path, count=20)
    problem = image_classification_problem(linear(), {"a": tmp_path}, shares=(1.0, 0.0, 0.0), batch_size=7)
    targets = _targets(problem, "a", "training")
    assert sorted(targets) == [0] * 20 + [1] * 20
    assert targets != sorted(targets)
    bright = _images(problem, "a", "training").mean((1, 2, 3)) > 0.5
    assert bright.long().tolist() == [1 - target for target in targets]
    assert problem.batches("a", "training") is problem.batches("a", "training")


def test_a_table_gives_the_same_images_in_every_form(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the optional extra data is not installed")
    from tests.problems.table_files import data_set, datasets, write_parquet

    values = [pixels(seed) for seed in range(9)]
    rows = {"image": [{"bytes": encoded(v), "path": None} for v in values], "label": [n % 3 for n in range(9)]}
    data_set(rows).cast_column("image", datasets.Image()).save_to_disk(tmp_path / "set")
    sources = {"rows": [{"image": i, "label": l} for i, l in zip(*rows.values(), strict=True)]}  # noqa: E741
    sources |= {"parquet": write_parquet(tmp_path / "a.parquet", rows), "set": tmp_path / "set"}
    problem = image_classification_problem(linear(outputs=3), sources, shares=(0.5, 0.0, 0.5))
    for split in ("training", "test"):
        first = _images(problem, "rows", split)
        for task in ("parquet", "set"):
            assert torch.equal(_images(problem, task, split), first)
            assert _targets(problem, task, split) == _targets(problem, "rows", split)


def test_equal_images_stay_in_one_split() -> None:
    rows = _rows([0, 1] * 10) * 2
    problem = image_classification_problem(linear(), {"a": rows}, shares=(0.5, 0.25, 0.25))
    homes: dict[bytes, set[str]] = {}
    for split in SPLITS:
        for picture in _images(problem, "a", split):
            homes.setdefault(picture.numpy().tobytes(), set()).add(split)
    assert len(homes) == 20
    assert all(len(splits) == 1 for splits in homes.values())


def test_a_number_of_examples_is_decoded_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from paretomerge.problems import images

    opened: list[Any] = []
    plain = images._Place._opened
    monkeypatch.setattr(images._Place, "_opened", lambda self, value: opened.append(value) or plain(self, value))
    rows = [{"image": encoded(pixels(seed)), "label": seed % 2} for seed in range(30)]
    problem = image_classification_problem(linear(), {"a": {"training": rows, "test": rows}}, examples=5)
    assert opened == []
    assert len(_targets(problem, "a", "training")) == 5
    assert len(opened) == 5


def test_pixels_stay_bytes_in_memory() -> None:
    problem = image_classification_problem(linear(), {"a": {"training": _rows([0, 1])}}, mean=0.5, std=0.5)
    batches: Any = problem.batches("a", "training")
    assert batches.pixels.dtype == torch.uint8
    assert float(batches[0][0].min()) < -0.8


class TestLabels:
    """Which output a label means."""

    @staticmethod
    def _first(outputs: int, tables: dict[str, Any], **settings: Any) -> dict[str, list[int]]:
        data = {task: {"test": _rows(labels)} for task, labels in tables.items()}
        problem = image_classification_problem(linear(outputs=outputs), data, **settings)
        pairs = {
            task: zip(_images(problem, task, "test"), _targets(problem, task, "test"), strict=True) for task in data
        }
        found = {}
        for task, rows in pairs.items():
            by_image = {tuple((255 * i).round().int().flatten().tolist()): target for i, target in rows}
            keys = [tuple(row["image"].transpose(2, 0, 1).flatten().tolist()) for row in data[task]["test"]]
            found[task] = [by_image[key] for key in keys]
        return found

    def test_the_classes_of_all_tasks_in_sorted_order(self) -> None:
        assert self._first(3, {"a": ["cat", "dog"], "b": ["ant", "dog"]}) == {"a": [1, 2], "b": [0, 2]}

    def test_names_in_an_order_of_ones_own(self) -> None:
        assert self._first(3, {"a": ["cat", "dog"]}, labels=("dog", "cat", "ant")) == {"a": [1, 0]}

    def test_numbers_are_outputs_of_which_some_may_be_unused(self) -> None:
        assert self._first(10, {"a": [3, 0], "b": ["7"]}) == {"a": [3, 0], "b": [7]}

    def test_names_of_classes_that_all_tables_agree_on(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets", reason="the optional extra data is not installed")
        from tests.problems.table_files import data_set

        rows = {"image": [encoded(pixels(n)) for n in range(4)], "label": [0, 1, 1, 1]}
        for name in ("a", "b"):
            data_set(rows, label=("z", "y", "x")).save_to_disk(tmp_path / name / "test")
        data = {name: tmp_path / name for name in ("a", "b")}
        problem = image_classification_problem(linear(outputs=3), data)
        assert sorted(_targets(problem, "a", "test")) == [0, 1, 1, 1]
        with pytest.raises(DataError, match="the model has 4 outputs, but the labels name 3: name all outputs"):
            image_classification_problem(linear(outputs=4), data).batches("a", "test")

    @pytest.mark.parametrize(
        ("outputs", "labels", "message"),
        [
            (2, [0, 1, 2], "the model has 2 outputs, but the labels name 3: name all outputs in their order"),
            (3, ["a", "b"], "the model has 3 outputs, but the labels name 2"),
        ],
    )
    def test_a_head_that_does_not_fit_is_refused(self, outputs: int, labels: list[Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            self._first(outputs, {"a": labels})

    def test_unknown_labels_are_named_with_their_row(self) -> None:
        with pytest.raises(DataError, match=r"row 2: the label 'dgo' .*\(did you mean 'dog'\?\)"):
            self._first(2, {"a": ["cat", "dgo"]}, labels=("cat", "dog"))
        with pytest.raises(DataError, match="row 1: the label -1 is no output"):
            self._first(2, {"a": [-1]})
        texts = [f"a picture of {n} cats" for n in range(10)]
        with pytest.raises(DataError, match=r"'label' holds texts .*not labels"):
            self._first(10, {"a": texts})

    def test_one_class_in_training_is_warned_of(self) -> None:
        with pytest.warns(
            UserWarning, match="task 'a': all 3 training examples have the label 1: nothing can be learnt"
        ):
            image_classification_problem(linear(), {"a": {"training": _rows([1, 1, 1])}})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (linear(side=5), r"does not take an image of 3 × 4 × 4 \(channels × height × width\): mat1.* 'size' and 'chan"),
        (linear(channels=1), "does not take an image of 3 × 4 × 4"),
        (lambda: nn.Conv2d(3, 2, 1), r"returned the shape \[1, 2, 4, 4\] for one image of 3 × 4 × 4: expected logits"),
        (lambda: nn.Flatten(0), "returned the shape"),
        (lambda: 3, "model: the function returned int, not a torch.nn.Module"),
    ],
)
def test_a_module_that_does_not_take_the_images_is_refused(build: Any, message: str) -> None:
    problem = image_classification_problem(build, {"a": {"test": _rows([0, 1])}})
    with pytest.raises(DataError, match=message):
        problem.batches("a", "test")


def test_size_and_channels_make_images_fit() -> None:
    rows = [*_rows([0, 1], height=6, width=9), *_rows([1], height=3, width=3)]
    data = {"a": {"test": rows}}
    assert _images(image_classification_problem(linear(channels=1), data, size=4, channels=1), "a", "test").shape == (
        *(3, 1),
        *(4, 4),
    )
    with pytest.raises(DataError, match="name the size that the model takes by the setting 'size'"):
        image_classification_problem(Pooled, data).batches("a", "test")


def test_building_leaves_the_callers_randomness_alone() -> None:
    problem = image_classification_problem(linear(), {"a": {"test": _rows([0, 1])}})
    torch.manual_seed(0)
    problem.batches("a", "test")
    problem.build()
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))


def test_opening_a_problem_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    write_classes(tmp_path, count=4)
    code = (
        "import sys; from torch import nn; from paretomerge import image_classification_problem as make; "
        f"make(nn.Identity, {{'a': {str(tmp_path)!r}}}); "
        "print(sorted({'transformers', 'scipy', 'PIL', 'pyarrow', 'datasets', 'torchvision'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        ({"examples": 0}, "examples: at least one"),
        ({"shares": (1, 1, 1)}, "shares: "),
        ({"image": "picture"}, "no column 'picture'"),
        ({"label": "lable"}, r"no column 'lable' \(did you mean 'label'\?\)"),
        ({"std": 0}, "std: "),
    ],
)
def test_bad_settings_are_refused_when_the_problem_is_made(settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        image_classification_problem(linear(), {"a": {"test": _rows([0, 1])}}, **settings)


def test_files_that_are_missing_are_refused_when_the_problem_is_made(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("image,label\na.png,0\n")
    with pytest.raises(DataError, match=r"test\.csv, line 2: there is no image .*/a\.png"):
        image_classification_problem(linear(), {"a": tmp_path})


class TestHuggingFace:
    """Classifiers of transformers, from a folder."""

    SIZE = 8

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
        config = transformers.ViTConfig(
            image_size=self.SIZE,
            patch_size=4,
            **sizes,
            id2label={0: "bright", 1: "dark"},
            label2id={"bright": 0, "dark": 1},
        )
        torch.manual_seed(0)
        model = transformers.ViTForImageClassification(config)
        model.save_pretrained(tmp_path / "base", save_original_format=False)
        said = {"size": {"height": 8, "width": 8}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
        (tmp_path / "base" / "preprocessor_config.json").write_text(
            json.dumps({"image_processor_type": "ViTImageProcessor", "do_resize": True, "do_normalize": True, **said})
        )
        return tmp_path / "base"

    def test_losses_are_those_of_transformers_image_by_image(self, base: Path, tmp_path: Path) -> None:
        import transformers

        processor = transformers.ViTImageProcessorPil.from_pretrained(base)
        model = transformers.ViTForImageClassification.from_pretrained(base).eval()
        write_classes(tmp_path / "data" / "test", count=5, height=11, width=13)
        problem = image_classification_problem(base, {"a": tmp_path / "data"}, batch_size=3)
        checkpoint = open_checkpoint(base)
        found = SupervisedEvaluator(problem)({name: checkpoint[name] for name in checkpoint}, "a")
        losses = []
        for path in sorted((tmp_path / "data" / "test").rglob("*.png")):
            inputs = processor(image.open(path).convert("RGB"), return_tensors="pt")
            label = torch.tensor([("bright", "dark").index(path.parent.name)])
            with torch.no_grad():
                losses.append(float(model(**inputs, labels=label).loss))
        torch.testing.assert_close(sorted(found["loss"].tolist()), sorted(losses), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("ViTImageProcessorPil", {"size": {"height": 9, "width": 7}, "resample": 3}),
            ("CLIPImageProcessorPil", {"size": {"shortest_edge": 9}, "crop_size": {"height": 6, "width": 7}}),
            ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 8}, "crop_pct": 0.7}),
            ("CLIPImageProcessorPil", {"size": {"shortest_edge": 5}, "crop_size": {"height": 7, "width": 8}}),
        ],
    )
    @pytest.mark.parametrize("shape", [(11, 14), (17, 10)])
    def test_images_are_brought_into_form_as_transformers_does(
        self, base: Path, kind: str, settings: dict[str, Any], shape: tuple[int, int]
    ) -> None:
        import transformers

        from paretomerge.problems.image_batches import ImageBatches
        from paretomerge.problems.image_forms import image_form
        from paretomerge.problems.images import read_images
        from paretomerge.problems.models import read_model
        from paretomerge.problems.tables import table_of

        processor = getattr(transformers, kind)(**settings)
        processor.save_pretrained(base)
        value = pixels(0, *shape)
        form = image_form(read_model(base))
        read = read_images(table_of([{"image": value}], "mine"), "image", form)
        ((found, _),) = ImageBatches(read, torch.zeros(1), 1, form)
        expected = processor(image.fromarray(value), return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

    def test_curvature_is_measured_and_models_merge(self, base: Path) -> None:
        rows = [{"image": row["image"], "label": ("bright", "dark")[n % 2]} for n, row in enumerate(_rows(range(20)))]
        problem = image_classification_problem(base, {"a": rows, "b": rows}, batch_size=8)
        checkpoint = open_checkpoint(base)
        start = {name: checkpoint[name] for name in checkpoint}
        tunes = {task: {name: 1.01 * value for name, value in start.items()} for task in problem.tasks}
        for method in (FitDiagonal("true"), FitSubspace("layer", centres=1)):
            found = fit_curvatures(problem, start, tunes, method)
            merged = paretomerge.merge(found.posteriors(), [[0.5, 0.5]])[0]
            assert all(bool(tensor.isfinite().all()) for tensor in merged.values())

    def test_files_whose_names_transformers_changes_are_refused_with_a_remedy(self, base: Path, tmp_path: Path) -> None:
        import transformers

        problem = image_classification_problem(base, {"a": {"test": _rows([0, 1], height=8, width=8)}})
        model = transformers.ViTForImageClassification(transformers.ViTConfig.from_pretrained(base))
        model.save_pretrained(base)  # in the format of transformers 4, as all models of that time are
        with pytest.raises(CheckpointError, match=r"files call \d+ parameters otherwise .*save_original_format=False"):
            problem.build()
        transformers.ViTForImageClassification.from_pretrained(base).save_pretrained(base, save_original_format=False)
        again = transformers.ViTForImageClassification.from_pretrained(base).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
        assert set(again) == set(problem.build().state_dict())

    def test_convolutional_networks_are_built(self, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
        config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=2)
        transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
        problem = image_classification_problem(tmp_path, {"a": {"test": _rows([0, 1], height=32, width=32)}})
        checkpoint = open_checkpoint(tmp_path)
        found = SupervisedEvaluator(problem)({name: checkpoint[name] for name in checkpoint}, "a")
        assert len(found["loss"]) == 2

    def test_models_that_classify_no_images_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertForSequenceClassification"]}))
        with pytest.raises(CheckpointError, match="which has no head of the kind ImageClassification"):
            image_classification_problem(tmp_path, {"a": _rows([0, 1])})
        with pytest.raises(
            DataError, match=r"model: expected the folder of .* or a function that builds a module, got i"
        ):
            image_classification_problem(3, {"a": _rows([0, 1])})  # type: ignore[arg-type]

    def test_labels_are_those_of_the_head(self, base: Path) -> None:
        with pytest.raises(DataError, match=r"row 2: the label 'drak' is none of the head's .*'dark'"):
            image_classification_problem(base, {"a": {"test": _rows(["dark", "drak"])}})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            problem = image_classification_problem(base, {"a": {"test": _rows(["Dark", "BRIGHT"])}})
        assert sorted(_targets(problem, "a", "test")) == [0, 1]


def test_arrays_of_numpy_are_read_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits as scikit-learn has them: 0 to 16, as floats."""
    digits = pytest.importorskip("sklearn.datasets", reason="the optional extra demo is not installed").load_digits()
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.savez(tmp_path / "all.npz", images=digits.images / 16, labels=digits.target)
    problem = image_classification_problem(linear(8, 1, 10), {"a": tmp_path / "all.npz"}, channels=1, mean=0.3, std=0.4)
    start = problem.build().state_dict()
    tuned = finetune(problem, start, {"a": 1.0}, TrainingRecipe(steps=150, learning_rate=3e-2)).params
    assert float(SupervisedEvaluator(problem)(tuned, "a")["accuracy"].mean()) > 0.85
