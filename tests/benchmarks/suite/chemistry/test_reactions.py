from __future__ import annotations

import pytest
import torch
from benchmarks.suite.chemistry.reactions import FINGERPRINT, PUBLISHED, TOKEN, Vocabulary, hidden, reactions

MARKS = ("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture
def vocabulary(tmp_path):
    tokens = sorted({token for of_kind in reactions().values() for text in of_kind for token in TOKEN.findall(text)})
    (tmp_path / "vocab.txt").write_text("\n".join([*MARKS, *tokens]) + "\n")
    return Vocabulary(tmp_path)


def test_there_are_five_kinds_of_twelve_different_reactions_each():
    known = reactions()
    assert [len(of_kind) for of_kind in known.values()] == [12] * 5
    assert len({text for of_kind in known.values() for text in of_kind}) == 60


def test_tokens_lose_nothing_and_rings_and_brackets_are_closed():
    for text in [PUBLISHED, *(text for of_kind in reactions().values() for text in of_kind)]:
        tokens = TOKEN.findall(text)
        assert "".join(tokens) == text
        assert tokens.count(">>") == 1
        for molecule in text.replace(">>", ".").split("."):
            parts = TOKEN.findall(molecule)
            assert parts.count("(") == parts.count(")")
            assert all(parts.count(digit) % 2 == 0 for digit in "123456789")


def test_two_letters_are_one_atom_and_brackets_are_one_token():
    assert TOKEN.findall("Cl[Sn]Cl>>c1cBr") == ["Cl", "[Sn]", "Cl", ">>", "c", "1", "c", "Br"]


def test_texts_are_encoded_between_marks_and_padded(vocabulary):
    numbers, attention = vocabulary.batch(["CC", "C"])
    carbon = vocabulary.numbers["C"]
    assert numbers.tolist() == [[3, carbon, carbon, 4], [3, carbon, 4, 0]]
    assert attention.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert vocabulary.encode("[Xx]") == [3, 2, 4]


def test_every_token_is_hidden_exactly_once_and_marks_never(vocabulary):
    numbers, attention = vocabulary.batch(["O=C(O)CC.OCC>>O=C(OCC)CC", "C", "CCCCCCC"])
    times = torch.zeros_like(numbers)
    for given, chosen in hidden(numbers, attention, mask=5):
        assert torch.equal(given, torch.where(chosen, 5, numbers))
        times += chosen
    marks = (numbers == 3) | (numbers == 4) | (attention == 0)
    assert torch.equal(times, (~marks).long())


def test_the_published_fingerprint_has_as_many_numbers_as_the_package_prints():
    assert len(FINGERPRINT) == 5
