from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.problems.picture_files import encoded, pixels, write_classes, write_image

from paretomerge.errors import DataError
from paretomerge.problems.image_files import image_reading
from paretomerge.problems.sources import find_tables
from paretomerge.problems.tables import Table


def _find(source: Any, image: str = "image", label: str = "label") -> Any:
    """`(image, label)` of all rows, by split or not."""
    found = find_tables("a", source, image_reading(image, label))
    if isinstance(found, Table):
        return _pairs(found, image, label)
    return {split: _pairs(table, image, label) for split, table in found.items()}


def _pairs(table: Table, image: str, label: str) -> list[tuple[Any, Any]]:
    return [(row[image], row[label]) for row in table.rows]


def test_folders_of_classes_per_split(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", count=1)
    write_classes(tmp_path / "val", count=2)
    assert _find(tmp_path) == {
        "training": [("bright/0.png", "bright"), ("dark/0.png", "dark")],
        "validation": [(f"{kind}/{n}.png", kind) for kind in ("bright", "dark") for n in (0, 1)],
    }


def test_folders_of_classes_alone_at_any_depth_and_without_hidden_files(tmp_path: Path) -> None:
    write_classes(tmp_path, count=1)
    write_image(tmp_path / "dark" / "deep" / "x.JPG", pixels(0))
    write_image(tmp_path / "dark" / "._0.png", pixels(0))
    write_image(tmp_path / "__MACOSX" / "0.png", pixels(0))
    (tmp_path / "notes").mkdir()
    (tmp_path / "bright" / "readme.txt").write_text("x")
    expected = [("bright/0.png", "bright"), ("dark/0.png", "dark"), ("dark/deep/x.JPG", "dark")]
    assert _find(tmp_path) == expected
    assert _find({"test": tmp_path}) == {"test": expected}
    assert _find(tmp_path, "x", "y") == expected


def test_the_folder_of_a_table_is_where_its_names_start(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("image,label\nin/a.png,1\n")
    found = find_tables("a", tmp_path, image_reading("image", "label"))
    assert isinstance(found, dict)
    assert found["training"].folder == tmp_path


def test_tables_are_read_before_folders_of_classes(tmp_path: Path) -> None:
    write_classes(tmp_path, count=1)
    (tmp_path / "test.csv").write_text("image,label\nbright/0.png,1\n")
    assert _find(tmp_path) == {"test": [("bright/0.png", "1")]}


def test_a_table_beside_the_images_of_a_split_is_read(tmp_path: Path) -> None:
    """As `imagefolder` of Hugging Face has it."""
    write_image(tmp_path / "train" / "a.png", pixels(0))
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\na.png,1\n")
    assert _find(tmp_path, image="file_name") == {"training": [("a.png", "1")]}


def test_tables_with_images_in_them(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the optional extra data is not installed")
    from tests.problems.table_files import data_set, write_parquet

    value = {"bytes": encoded(pixels(0)), "path": None}
    write_parquet(tmp_path / "a" / "train-00000-of-00001.parquet", {"image": [value], "label": [1]})
    data_set({"image": [value], "label": [1]}).save_to_disk(tmp_path / "b" / "test")
    data_set({"image": [value], "label": [1]}).save_to_disk(tmp_path / "c")
    assert _find(tmp_path / "a") == {"training": [(value, 1)]}
    assert _find(tmp_path / "b") == {"test": [(value, 1)]}
    assert _find(tmp_path / "c") == [(value, 1)]


def test_archives_of_arrays(tmp_path: Path) -> None:
    images = np.stack([pixels(seed, channels=1) for seed in range(3)])
    np.savez(tmp_path / "train.npz", images=images, labels=np.array([0, 1, 0]))
    np.savez_compressed(tmp_path / "own.npz", x=images, y=np.array(["a", "b", "a"]))
    found = _find(tmp_path)["training"]
    assert [label for _, label in found] == [0, 1, 0]
    np.testing.assert_array_equal(found[2][0], images[2])
    assert [label for _, label in _find(tmp_path / "own.npz", "x", "y")] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 3, 3))}, r"there is no array 'labels': it holds images"),
        ({"image": np.zeros((2, 3, 3)), "label": np.zeros(3)}, r"shape \[2, 3, 3\] and labels \[3\]: expected \[n, h"),
        ({"images": np.zeros((2, 3)), "labels": np.zeros(2)}, r"images have the shape \[2, 3\]"),
        ({"images": np.zeros((2, 3, 3)), "labels": np.zeros((2, 1))}, r"labels \[2, 1\]"),
        ({"images": np.zeros((0, 3, 3)), "labels": np.zeros(0)}, "n of at least 1"),
        ({"images": np.array([{}, {}]), "labels": np.zeros(2)}, "no archive of arrays .* without Python objects"),
        ({"pictures": np.zeros(2)}, "there is no array 'images'"),
    ],
)
def test_archives_that_cannot_be_used_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "test.npz", **arrays)
    with pytest.raises(DataError, match=rf"test\.npz: .*{message}"):
        _find(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_archives_that_are_none_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: this is no archive of arrays that can be read \(.*numpy\.savez"):
        _find(tmp_path / "a.npz")
    np.save(tmp_path / "b", np.zeros(3))
    (tmp_path / "b.npy").rename(tmp_path / "a.npz")
    with pytest.raises(DataError, match="one array without a name"):
        _find(tmp_path / "a.npz")


def test_folders_that_are_not_clear_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images of task 'a': expected folders split/class/images .* holds nothing"):
        _find(tmp_path)
    write_image(tmp_path / "images" / "a.png", pixels(0))
    with pytest.raises(DataError, match="two or more folders of images, each called by its class, found images only"):
        _find(tmp_path)
    with pytest.raises(DataError, match="each called by its class, found none"):
        _find({"test": tmp_path / "images"})
    write_classes(tmp_path / "two" / "train", count=1)
    write_classes(tmp_path / "two" / "training", count=1)
    with pytest.raises(DataError, match="the training examples are there twice, train and training: keep one"):
        _find(tmp_path / "two")
