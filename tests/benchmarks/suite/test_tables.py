"""Tables of results that nobody measured."""

from __future__ import annotations

import pytest
from benchmarks.suite.results import Result
from benchmarks.suite.tables import TABLES
from benchmarks.suite.tables.more_flexible import pooled
from benchmarks.suite.tables.overview import overview
from tests.benchmarks.suite.made_up import made_up


@pytest.fixture(scope="module")
def results():
    return {name: Result(made_up(name)) for name in ("digits-conflict", "scale-24")}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_well_formed_or_says_that_there_is_nothing(name, results):
    text = TABLES[name](results)
    assert "nan" not in text.lower().replace("finance", "")
    assert "None" not in text
    for block in text.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_made_up_results_has_rows_and_of_none_has_a_sentence(name, results):
    assert "|---|" in TABLES[name](results)
    assert TABLES[name]({}) == "No results yet."


def test_what_is_missed_is_bold_and_only_that():
    stored = made_up("digits-conflict")
    measures = stored["methods"]["default"]["measures"]
    stored["floor"]["loss_error"] = [0.01, 0.01, 0.01]
    measures["loss_error"] = [0.012, 0.012, 0.012]
    measures["recalibrated_error_2"] = [0.008, 0.008, 0.008]
    measures["hypervolume_ratio"] = [1.02, 0.98, 1.0]
    measures["rank_correlation"] = [0.96, 0.96, 0.96]
    measures["share"] = [0.12, 0.12, 0.12]
    row = overview({"digits-conflict": Result(stored)}).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4] == "**1.20 [1.20, 1.20]**"
    assert cells[6] == "0.80 [0.80, 0.80]"
    assert cells[7:] == ["1.000", "**0.013** (0.011)", "0.960 (0.011)", "**12 %**"]


def test_paired_tests_pool_the_seeds_of_all_settings(results):
    for result in results.values():
        plain = [0.2, 0.3, 0.4]
        result.methods["averaging"]["measures"]["loss_error"] = plain
        result.methods["default"]["measures"]["loss_error"] = [value / 2 for value in plain]
    row = pooled(list(results.values()), ("averaging", "default"))
    assert row == ["averaging → default", "6", "6", "0.50", "0.03", "0.03", "2", "0"]
