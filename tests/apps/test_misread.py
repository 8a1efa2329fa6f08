import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.apps.misread import misread, refuse_misread


def text(*cells) -> np.ndarray:
    return np.array(cells, dtype=object)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            text(*["1.5", None, "-2e3"] * 10, "12 km"),
            "Column 'a' holds '12 km' in row 31, and numbers nearly everywhere else; correct it, or leave the cell "
            "empty.",
        ),
        (
            text("3", "2,5", None),
            "Column 'a' holds numbers with commas, say '2,5'; write them like 1234.5.",
        ),
        (
            text("1,250", "1,000,250.5", None),
            "Column 'a' holds numbers with commas, say '1,250'; write them like 1234.5.",
        ),
        (
            text(None, "31.12.2024", "1.2.2025 7:30"),
            "Column 'a' holds dates such as '31.12.2024'; write them like 2024-12-31.",
        ),
        (text("12/31/24"), "Column 'a' holds dates such as '12/31/24'; write them like 2024-12-31."),
    ],
)
def test_numbers_and_dates_that_came_out_as_text_are_told(column, sentence):
    assert misread("a", column) == sentence


@pytest.mark.parametrize(
    "column",
    [
        text("north", "south"),
        text(None, None),
        text(*["1"] * 8, "x", "y"),
        text("A-1", "B-2"),
        np.array([1.0, np.nan]),
        np.array(["2024-12-31"], "datetime64[D]"),
    ],
)
def test_text_numbers_and_times_are_what_they_are(column):
    assert misread("a", column) is None


def test_such_a_column_is_refused_unless_it_is_said_to_be_categories():
    columns = {"town": text("Ayr"), "size": text("1,5", "2,5")}
    with pytest.raises(InputError) as error:
        refuse_misread(columns)
    assert str(error.value) == (
        "Column 'size' holds numbers with commas, say '1,5'; write them like 1234.5. If its cells are names of "
        "categories, pass --categorical 'size'."
    )
    refuse_misread(columns, ["size"])
