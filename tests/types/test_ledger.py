from __future__ import annotations

from paretomerge.types import Ledger


def test_ledgers_add_entry_by_entry():
    one, other = Ledger(1, 20, 300, 0.5), Ledger(2, 30, 400, 0.25)
    assert one + other == Ledger(3, 50, 700, 0.75)
    assert sum([one, other], Ledger()) == other + one
