"""Reactions written down by rule, since the package has none but one: five kinds, each of a dozen substrate pairs.

They are no data set: nobody ran them. They show what merging does to features, not how good a model is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

PUBLISHED = (
    "Nc1cccc2cnccc12.O=C(O)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
    ">>O=C(Nc1cccc2cnccc12)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
)
FINGERPRINT = (-2.0174953937530518, 1.7602033615112305, -1.3323537111282349, -1.1095019578933716, 1.2254549264907837)
"""The package's description gives this reaction, and the first numbers of its fingerprint by the first finetune."""

ACIDS = ("c1ccccc1", "CC", "c1ccc(F)cc1", "C1CCCC1")
AMINES = ("NCc1ccccc1", "NC1CC1", "NCCOC")
ALCOHOLS = ("OCC", "OCc1ccccc1", "OC(C)C")
ARYLS = ("c1ccc({})cc1", "c1cccc({})c1", "c1ccc({})nc1", "c1cc({})ccc1OC")
BORONIC = ("c2ccccc2", "c2ccc(C)cc2", "c2ccncc2")
GROUPS = ("[N+](=O)[O-]", "N")
RINGS = ("Cc1ccc({})cc1", "COc1ccc({})cc1", "Fc1ccc({})cc1", "O=C(O)c1ccc({})cc1")
REDUCTANTS = ("[H][H]", "[Fe]", "Cl[Sn]Cl")
TERT_BUTYL = "CC(C)(C)OC(=O)"
PROTECTED = ("NCc1ccccc1", "NC1CC1", "NCCOC", "NCCc1ccccc1")
STRONG_ACIDS = ("Cl", "O=C(O)C(F)(F)F", "CS(=O)(=O)O")

TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d{2}|@@?|[A-Za-z0-9()=#.\-+\\/:~*$]")
"""Atoms, bonds, ring numbers and the arrow of reaction SMILES."""


def reactions() -> dict[str, list[str]]:
    """Kind → reactions, twelve of each."""
    return {
        "amide": [f"O=C(O){acid}.{amine}>>O=C({amine}){acid}" for acid, amine in product(ACIDS, AMINES)],
        "ester": [f"O=C(O){acid}.{alcohol}>>O=C({alcohol}){acid}" for acid, alcohol in product(ACIDS, ALCOHOLS)],
        "Suzuki": [
            f"OB(O){other.replace('2', '1')}.{aryl.format('Br')}>>{aryl.format('-' + other)}"
            for aryl, other in product(ARYLS, BORONIC)
        ],
        "nitro reduction": [
            f"{ring.format(GROUPS[0])}.{agent}>>{ring.format(GROUPS[1])}" for ring, agent in product(RINGS, REDUCTANTS)
        ],
        "deprotection": [f"{TERT_BUTYL}{amine}.{acid}>>{amine}" for amine, acid in product(PROTECTED, STRONG_ACIDS)],
    }


class Vocabulary:
    """Token ↔ number, as the checkpoints know them."""

    def __init__(self, folder: Path) -> None:
        """From `vocab.txt`."""
        tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        self.numbers: Mapping[str, int] = {token: number for number, token in enumerate(tokens) if token}

    def encode(self, reaction: str) -> list[int]:
        """Numbers of the tokens, between the two marks; what is unknown is `[UNK]`."""
        unknown = self.numbers["[UNK]"]
        found = [self.numbers.get(token, unknown) for token in TOKEN.findall(reaction)]
        return [self.numbers["[CLS]"], *found, self.numbers["[SEP]"]]

    def batch(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Numbers and attention `[n, longest]`."""
        rows = [self.encode(text) for text in texts]
        longest = max(map(len, rows))
        padding = self.numbers["[PAD]"]
        numbers = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
        attention = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return numbers, attention


def hidden(numbers: Tensor, attention: Tensor, mask: int, every: int = 7) -> Iterator[tuple[Tensor, Tensor]]:
    """`(numbers with every seventh token hidden, which ones)`, from each possible start: every token is hidden once.

    The marks at the beginning and the end stay.
    """
    places = torch.arange(numbers.shape[1]).expand_as(numbers)
    inside = (places > 0) & (places < attention.sum(dim=1, keepdim=True) - 1)
    for start in range(every):
        chosen = inside & (places % every == start)
        yield torch.where(chosen, mask, numbers), chosen
