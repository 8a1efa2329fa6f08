import json
import math

import pytest

from manymodes.studies.frame.result import Figure, Measured, Result, Section, Table, cell_text

TABLE = Table(
    "Scores.",
    ["model", "log-likelihood", "MSE", "inside 90 %"],
    [["a", Measured(1.0, 0.1), 3.0, 0.8], ["b", Measured(2.0, 0.1), math.nan, 0.93], ["c", 1.5, 2.0, None]],
    best={"log-likelihood": math.inf, "MSE": -math.inf, "inside 90 %": 0.9},
)


def result(*blocks) -> Result:
    return Result("A title", ["A problem."], ["A conclusion."], [Section("Scores", blocks)])


def test_a_mean_comes_with_the_standard_error_of_the_mean():
    measured = Measured.over([1.0, 2.0, 3.0])
    assert measured.mean == 2.0
    assert measured.error == pytest.approx(1 / math.sqrt(3))


def test_a_single_number_has_no_standard_error():
    assert Measured.over([2.5]) == Measured(2.5, None)


def test_unknown_numbers_are_left_out_of_a_mean():
    assert Measured.over([1.0, math.nan, 3.0]).mean == 2.0
    assert math.isnan(Measured.over([math.nan]).mean)


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured(0.12345, 0.0123), "0.123 ± 0.012"),
        (Measured(123.456, 20.0), "123 ± 20"),
        (Measured(-1.28, None), "-1.28"),
        (Measured(2.0, 0.0), "2"),
        (Measured(math.nan), ""),
    ],
)
def test_numbers_are_written_with_as_many_digits_as_their_errors_bear(measured, text):
    assert str(measured) == text


def test_cells_without_a_number_are_empty():
    assert [cell_text(cell) for cell in (None, math.nan, "word", 3, 0.5)] == ["", "", "word", "3", "0.5"]


def test_the_best_cell_of_a_column_is_marked_by_its_ideal():
    assert TABLE.marked() == [set(), {1, 3}, {2}]


def test_json_holds_tables_and_what_is_known_about_the_run():
    record = json.loads(result(TABLE, Figure("dots", "Look.", "<svg/>")).to_json(study="x", settings={"quick": True}))
    assert record["study"] == "x"
    assert record["settings"] == {"quick": True}
    assert record["conclusions"] == ["A conclusion."]
    assert record["tables"][0]["rows"][0]["log-likelihood"] == {"mean": 1.0, "standard_error": 0.1}
    assert record["tables"][0]["rows"][1]["MSE"] is None
    assert record["figures"] == [{"name": "dots", "caption": "Look."}]


def test_a_result_lists_its_tables_and_figures():
    figure = Figure("dots", "Look.", "<svg/>")
    found = result("text", TABLE, figure)
    assert found.tables == [TABLE]
    assert found.figures == [figure]
