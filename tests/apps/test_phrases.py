import pytest

from manymodes.apps.phrases import for_people


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (
            "price is positive; target_families={'price': 'gamma'} never predicts others.",
            "price is positive; --family gamma never predicts others.",
        ),
        ("pass target_families={'b': ('beta', 0.0, 2.0)}.", "pass --family beta."),
        (
            "rounding=0.05 scores their cells; atoms=(0.0,) is another way.",
            "--rounding 0.05 scores their cells; --atoms 0.0 is another way.",
        ),
        ("say so by categorical_features.", "say so by --categorical."),
        ("nothing to change here: rounding is known.", "nothing to change here: rounding is known."),
    ],
)
def test_settings_become_options_of_the_command_line(sentence, told):
    assert for_people(sentence) == told
