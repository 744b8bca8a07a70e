from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import open_checkpoint, with_private, write_params
from paretomerge.checkpoints.views import same_values, select, view


def test_a_view_reads_the_same_values_under_other_names(tmp_path: Path) -> None:
    params = {"a.w": torch.randn(3, 2), "b": torch.arange(3)}
    opened = open_checkpoint(write_params(tmp_path / "m", params))
    seen = view(opened, {"w": "a.w", "twin": "a.w"})
    assert list(seen) == ["w", "twin"]
    assert seen.spec("w") == opened.spec("a.w")
    assert torch.equal(seen["twin"], params["a.w"])
    buffer = torch.zeros(100, dtype=torch.uint8)
    read = seen.read("w", buffer)
    assert torch.equal(read, params["a.w"])
    assert read.data_ptr() == buffer.data_ptr()
    assert seen.locate("w") == seen.locate("twin") == opened.locate("a.w")


def test_a_view_says_of_itself_what_its_checkpoint_does(tmp_path: Path) -> None:
    opened = open_checkpoint(write_params(tmp_path / "m", {"w": torch.zeros(1)}))
    opened.is_adapter, opened.side_files, opened.address = True, (tmp_path,), "hub://x/y@1"
    seen = select(opened, ["w"])
    assert (seen.is_adapter, seen.side_files, seen.address, seen.source) == (
        True,
        (tmp_path,),
        "hub://x/y@1",
        tmp_path / "m",
    )


def test_a_view_of_a_plain_mapping_holds_its_tensors_itself() -> None:
    seen = view({"w": torch.ones(2)}, {"v": "w"})
    holder, inner = seen.locate("v")
    assert inner == "v"
    assert torch.equal(holder.read(inner), torch.ones(2))


def test_private_tensors_go_before_the_merged_ones_and_are_added() -> None:
    merged = open_checkpoint({"trunk": torch.zeros(2), "head": torch.zeros(2)})
    own = open_checkpoint({"head": torch.ones(5, 3), "extra": torch.ones(1)})
    model = with_private(merged, own)
    assert list(model) == ["trunk", "head", "extra"]
    assert model["head"].shape == (5, 3)
    assert model.locate("head") == own.locate("head")
    assert model.locate("trunk") == merged.locate("trunk")


@pytest.mark.parametrize("place", [0, 4, 5, 9])
def test_equal_values_are_compared_to_the_last_piece(place: int) -> None:
    one = torch.zeros(5, 2)
    other = one.clone()
    assert same_values(one, other, piece=3)
    other.view(-1)[place] = 1
    assert not same_values(one, other, piece=3)
