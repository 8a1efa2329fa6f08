import json
import tomllib

import pytest

from manymodes.apps.cli import main
from tests.apps.commands.tables import refused


def shown(capsys, *words) -> dict:
    """Return the options in effect, read back."""
    capsys.readouterr()
    assert main([*map(str, words), "--show-config"]) == 0
    return tomllib.loads(capsys.readouterr().out)


@pytest.fixture
def config(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "options.toml"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_a_file_stands_where_the_command_line_says_nothing_which_wins_over_it(config, capsys):
    path = config(
        '[fit]\nfile = "t.csv"\ntarget = ["a", "b"]\noutput = "m"\nmax_epochs = 3\nheld-out = 0.2\nquiet = true'
    )
    options = shown(capsys, "fit", "--config", path, "--max-epochs", "7")["fit"]
    known = {"file": "t.csv", "target": ["a", "b"], "output": "m", "held-out": 0.2, "quiet": True, "max-epochs": 7}
    assert options.items() >= known.items()
    options = shown(capsys, "fit", "u.csv", "--target", "c", "--config", path)["fit"]
    assert (options["file"], options["target"], options["max-epochs"]) == ("u.csv", ["c"], 3)


def test_options_that_are_shown_can_be_fed_back(config, capsys):
    words = ["fit", 'süß "t".csv', "--target", "a\\b", "--output", "m", "--atoms", "0", "-1.5", "--overwrite"]
    assert main([*words, "--show-config"]) == 0
    text = capsys.readouterr().out
    assert "# max-epochs is not set\n" in text
    assert main(["fit", "--config", str(config(text)), "--show-config"]) == 0
    assert capsys.readouterr().out == text


def test_options_are_shown_and_nothing_is_run(tmp_path, capsys):
    shown(capsys, "fit", tmp_path / "no.csv", "--target", "y", "--output", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_command_runs_with_the_options_of_a_file(inside, config, capsys):
    words = ["predict", "first", "new.csv", "--output", "-", "--keep", "id", "--quantile", "0.3"]
    assert main(words) == 0
    expected = capsys.readouterr().out
    path = config('[predict]\nmodel = "first"\nfile = "new.csv"\noutput = "-"\nkeep = "id"\nquantile = [0.3]')
    assert main(["predict", "--config", str(path)]) == 0
    assert capsys.readouterr().out == expected


def test_a_file_is_forgotten_with_the_command_that_named_it(inside, config, capsys):
    assert main(["info", "--config", str(config('[info]\nmodel = "first"\njson = true'))]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "MDNRegressor"
    assert refused(capsys, "info") == 'Command "info" parameter MODEL requires an argument. See manymodes --help.'


def test_help_is_help_also_where_options_are_to_be_shown(capsys):
    for words in (["fit", "--help"], []):
        assert main([*words, "--show-config"]) == 0
        assert capsys.readouterr().out.startswith("Usage: manymodes")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[fitt]\nx = 1", "has a table [fitt]; the nearest is 'fit'."),
        ("fit = 3", "must hold a table [fit]; got 3."),
        ('[fit]\ntarqet = ["a"]', "[fit] has a key 'tarqet'; the nearest is 'target'."),
        ("[info]\nzzzz = 1", "[info] has a key 'zzzz'; keys may be 'model', 'json'."),
        ("[predict]\nmodes = 1", "[predict] modes must be true or false; got 1."),
        ("[fit]\nmax-epochs = true", "[fit] max-epochs must not be true or false; got true."),
        ("[fit]\ntarget = [[1]]", "[fit] target must be a text, a number, true or false; got a list."),
        ('[fit]\npreset = ["fast"]', "[fit] preset must be a text, a number, true or false; got a list."),
        ("[fit.target]\na = 1", "[fit] target must be a text, a number, true or false; got a table."),
        (
            "[fit]\ntime_limit = 2020-01-01",
            "[fit] time_limit must be a text, a number, true or false; got a point in time.",
        ),
        ("[fit]\nmax-epochs = 1\nmax_epochs = 2", "[fit] must hold 'max-epochs' once; got it with - and with _."),
        ("[fit", "is not TOML: expected ']' at the end of a table declaration (at end of document)."),
    ],
)
def test_a_file_of_options_that_no_command_has_is_refused(config, capsys, text, sentence):
    path = config(text)
    assert refused(capsys, "study", "--list", "--config", path) == f"{str(path)!r} {sentence}"


def test_a_value_that_an_option_does_not_take_is_refused_with_the_name_of_the_file(config, capsys):
    path = config('[fit]\npreset = "fats"\nfile = "t.csv"\ntarget = ["a"]\noutput = "m"')
    assert refused(capsys, "fit", "--config", path) == (
        f'Invalid value "fats" for --preset from {path}. Choose from: "fast", "default", "best". Did you mean "fast"? '
        "See manymodes --help."
    )


def test_a_file_of_options_that_cannot_be_read_is_refused(config, tmp_path, capsys):
    missing = tmp_path / "no.toml"
    assert refused(capsys, "info", "m", "--config", missing) == f"No such file or directory: {missing}."
    path = config("[fit]\noutput = 'ü'", encoding="latin-1")
    assert refused(capsys, "info", "m", "--config", path) == (
        f"{str(path)!r} is not UTF-8 text (byte 16); save it in UTF-8."
    )
