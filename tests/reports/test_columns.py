"""Rows become columns with formatted cells and unrounded keys."""

from paretomerge.reports.columns import columns_of, ledger_columns, score_columns


def test_columns_keep_the_order_of_first_appearance_and_mark_gaps():
    columns = columns_of([{"a": "x", "b": 1}, {"c": True, "a": "y"}])
    assert [column.name for column in columns] == ["a", "b", "c"]
    assert [column.cells for column in columns] == [("x", "y"), ("1", "-"), ("-", "yes")]
    assert [column.numeric for column in columns] == [False, True, False]


def test_standard_errors_become_intervals_and_keys_stay_unrounded():
    (error,) = columns_of([{"error": 0.04512, "error_stderr": 0.0031}, {"error": 0.02, "error_stderr": None}])
    assert error.cells == ("0.0451 ± 0.0061", "0.0200")
    assert error.keys == (0.04512, 0.02)


def test_a_standard_error_without_its_value_is_a_column_like_any_other():
    assert [column.name for column in columns_of([{"loss stderr": 0.5}])] == ["loss stderr"]


def test_numbers_that_are_not_finite_are_missing():
    (column,) = columns_of([{"a": float("nan")}, {"a": 2.5}])
    assert column.cells == ("-", "2.50")
    assert column.keys == (None, 2.5)


def test_the_ledger_shows_every_cost_and_separates_thousands(make_data):
    columns = ledger_columns(make_data(2).ledger)
    assert [column.name for column in columns] == ["", "trainings", "gradient passes", "evaluations", "seconds"]
    assert [column.cells[0] for column in columns] == ["single finetunes", "3", "146,250", "0", "812.4"]
    assert [column.cells[1] for column in columns][3:] == ["-", "-"]


def test_energy_is_shown_where_any_is_known_and_a_part_says_so():
    ledger = {
        "fit": {"seconds": 4.0, "joules": 1500.0, "metered_seconds": 4.0},
        "verify": {"seconds": 9.0, "joules": None, "metered_seconds": 0.0},
        "all": {"seconds": 13.0, "joules": 1500.0, "metered_seconds": 4.0},
    }
    energy = ledger_columns(ledger)[-1]
    assert (energy.name, energy.cells) == ("energy [kJ]", ("1.5", "-", "≥ 1.5"))
    assert energy.keys == (1500.0, None, 1500.0)


def test_seconds_that_nobody_knows_are_missing():
    assert ledger_columns({"grid": {"trainings": 3, "seconds": None}})[-1].cells == ("-",)


def test_scores_show_origin_weights_and_values(make_data):
    data = make_data(2)
    columns = score_columns(data.scores)
    assert [column.name for column in columns][:3] == ["origin", "weight movie", "weight amazon"]
    assert columns[3].keys == tuple(data.scores.values[:, 0].tolist())
    assert columns[3].name == "movie loss [nats]"
    assert columns[3].cells[0].endswith("± 0.012")
