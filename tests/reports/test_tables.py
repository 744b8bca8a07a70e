"""Tables for the terminal and for documents hold the numbers, and only text."""

import io

from rich.console import Console

from paretomerge.reports import ledger_table, markdown_table, methods_table, scores_table
from paretomerge.reports.tables import ledger_rows


def rendered(table) -> str:
    console = Console(file=io.StringIO(), width=240, color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_the_methods_table_holds_names_and_intervals(make_data):
    text = rendered(methods_table(make_data(2).methods))
    assert "averaging" in text
    assert "0.0451 ± 0.0061" in text
    assert "stderr" not in text


def test_no_methods_make_an_empty_table():
    assert methods_table([]).row_count == 0
    assert markdown_table([]) == ""


def test_the_ledger_table_holds_the_costs(make_data):
    text = rendered(ledger_table(make_data(2).ledger))
    assert "146,250" in text
    assert "gradient passes" in text


def test_the_scores_table_has_a_row_per_model_and_can_show_some_objectives(make_data):
    data = make_data(2, accuracy=True)
    table = scores_table(data.scores, objectives=data.objectives)
    assert table.row_count == len(data.scores)
    text = rendered(table)
    assert "jointly finetuned" in text
    assert "accuracy" not in text
    assert "movie accuracy" in rendered(scores_table(data.scores))


def test_names_are_text_and_never_markup():
    assert "[red]x[/red] [link=a]" in rendered(methods_table([{"method": "[red]x[/red] [link=a]"}]))


def test_markdown_escapes_what_would_break_the_table():
    text = markdown_table([{"a|b": "x|y\nz <b>", "n": 0.5}, {"a|b": "w", "n": None}])
    assert text.splitlines() == [
        "| a\\|b | n |",
        "| --- | ---: |",
        "| x\\|y z &lt;b&gt; | 0.500 |",
        "| w | - |",
    ]


def test_the_ledger_as_markdown(make_data):
    assert "| single finetunes | 3 | 146,250 | 0 | 812 |" in markdown_table(ledger_rows(make_data(2).ledger))


def test_the_ledger_as_markdown_has_energy_where_any_is_known():
    ledger = {"fit": {"seconds": 4.0, "joules": 1500.0, "metered_seconds": 4.0}, "verify": {"seconds": 9.0}}
    assert "| fit | - | - | - | 4 | 1,500 |" in markdown_table(ledger_rows(ledger))
