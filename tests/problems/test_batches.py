from __future__ import annotations

import torch

from paretomerge.problems.batches import Encoded, make_batches

TOKENS = [[5] * length for length in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3)]


def test_the_order_stays_and_padding_is_masked() -> None:
    batches = make_batches(Encoded(TOKENS, list(range(10))), 4, padding=7, by_length=False)
    assert [targets.tolist() for _, targets in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    inputs, _ = batches[0]
    assert inputs["input_ids"].tolist() == [[5, 5, 5, 7], [5, 7, 7, 7], [5, 5, 5, 5], [5, 7, 7, 7]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert inputs["input_ids"].dtype == batches[0][1].dtype == torch.int64


def test_texts_of_like_length_go_together_in_batches_of_a_random_order() -> None:
    batches = make_batches(Encoded(TOKENS * 10, list(range(100))), 10, padding=0, by_length=True)
    assert sorted(number for _, targets in batches for number in targets.tolist()) == list(range(100))
    widths = [inputs["input_ids"].shape[1] for inputs, _ in batches]
    assert sum(widths) == 1 + 1 + 2 + 3 + 3 + 4 + 5 + 5 + 6 + 9
    assert widths != sorted(widths)
    again = make_batches(Encoded(TOKENS * 10, list(range(100))), 10, padding=0, by_length=True)
    assert [targets.tolist() for _, targets in again] == [targets.tolist() for _, targets in batches]


def test_targets_of_tokens_are_padded_by_no_label_and_segments_by_zero() -> None:
    encoded = Encoded([[1, 2], [3]], [[-100, 2], [3]], [[0, 1], [1]])
    ((inputs, targets),) = make_batches(encoded, 5, padding=9, by_length=False)
    assert targets.tolist() == [[-100, 2], [3, -100]]
    assert inputs["token_type_ids"].tolist() == [[0, 1], [1, 0]]
