from __future__ import annotations

import pytest
import torch

from paretomerge.errors import DataError
from paretomerge.training.inputs import join_inputs, join_targets, take_inputs, take_targets


def _tokens(lengths: list[int]) -> dict[str, torch.Tensor]:
    width = max(lengths)
    mask = torch.stack([(torch.arange(width) < length).long() for length in lengths])
    return {"input_ids": mask * torch.arange(1, width + 1), "attention_mask": mask, "topic": torch.tensor(lengths)}


def test_token_mappings_are_padded_to_the_longest() -> None:
    joined = join_inputs([_tokens([2, 1]), _tokens([4])])
    assert joined["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert joined["input_ids"].tolist() == [[1, 2, 0, 0], [1, 0, 0, 0], [1, 2, 3, 4]]
    assert joined["topic"].tolist() == [2, 1, 4]


def test_taken_tokens_are_cut_to_the_longest_text_that_is_left() -> None:
    taken = take_inputs(_tokens([2, 5, 1]), torch.tensor([2, 0]))
    assert taken["input_ids"].tolist() == [[1, 0], [1, 2]]
    assert taken["topic"].tolist() == [1, 2]


def test_padding_on_the_left_is_kept() -> None:
    tokens = {"input_ids": torch.tensor([[0, 0, 7], [0, 8, 9]]), "attention_mask": torch.tensor([[0, 0, 1], [0, 1, 1]])}
    assert take_inputs(tokens, torch.tensor([0]))["input_ids"].tolist() == [[0, 0, 7]]


def test_plain_tensors_and_mappings_without_a_mask_must_agree_in_shape() -> None:
    assert join_inputs([torch.zeros(2, 3), torch.ones(1, 3)]).shape == (3, 3)
    with pytest.raises(DataError, match="pad all of them"):
        join_inputs([{"x": torch.zeros(1, 2)}, {"x": torch.zeros(1, 4)}])


def test_targets_of_tokens_are_padded_without_labels_and_cut_with_their_inputs() -> None:
    joined = join_targets([torch.tensor([[3, -100]]), torch.tensor([[1, 2, 5, -100]])])
    assert joined.tolist() == [[3, -100, -100, -100], [1, 2, 5, -100]]
    taken = take_inputs(_tokens([2, 4]), torch.tensor([0]))
    assert take_targets(joined, torch.tensor([0]), taken).tolist() == [[3, -100]]
    assert take_targets(torch.tensor([7, 8]), torch.tensor([1]), taken).tolist() == [8]
    assert take_targets(joined.double(), torch.tensor([0]), taken).shape == (1, 4)
    assert take_targets(joined, torch.tensor([0]), torch.zeros(1, 2)).shape == (1, 4)


def test_what_a_decoder_reads_has_a_length_of_its_own() -> None:
    """Even where it happens to be as long as the text."""
    short = {**_tokens([1]), "decoder_input_ids": torch.tensor([[0, 5, 6]])}
    long = {**_tokens([3]), "decoder_input_ids": torch.tensor([[0]])}
    joined = join_inputs([short, long])
    assert joined["input_ids"].tolist() == [[1, 0, 0], [1, 2, 3]]
    assert joined["decoder_input_ids"].tolist() == [[0, 5, 6], [0, 0, 0]]
    taken = take_inputs(joined, torch.tensor([0]))
    assert taken["input_ids"].tolist() == [[1]]
    assert taken["decoder_input_ids"].tolist() == [[0, 5, 6]]
    assert take_targets(torch.tensor([[5, 6, 1]]), torch.tensor([0]), taken).tolist() == [[5, 6, 1]]


def test_targets_of_different_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="training targets have different shapes"):
        join_targets([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(DataError, match="one kind of target"):
        join_targets([torch.zeros(2, dtype=torch.long), torch.zeros(2, 4, dtype=torch.long)])
