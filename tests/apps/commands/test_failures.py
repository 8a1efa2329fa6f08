import pytest

from manymodes.apps.cli import main
from tests.apps.commands.tables import refused


@pytest.fixture
def broken(monkeypatch):
    """Return a function that lets ``info`` raise an error."""

    def breaks(error):
        def fail(_):
            raise error

        monkeypatch.setattr("manymodes.apps.info.info_of", fail)

    return breaks


DEFECT = (
    "manymodes: KeyError: 'oops'; this is a defect of manymodes, please report it with what MANYMODES_TRACEBACK=1 "
    "shows.\n"
)


def test_a_defect_of_ours_is_one_sentence_and_code_one(broken, capsys, monkeypatch):
    monkeypatch.delenv("MANYMODES_TRACEBACK", raising=False)
    broken(KeyError("oops"))
    assert main(["info", "m"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == DEFECT


def test_a_defect_shows_where_it_is_when_asked(broken, capsys, monkeypatch):
    monkeypatch.setenv("MANYMODES_TRACEBACK", "1")
    broken(KeyError("oops"))
    assert main(["info", "m"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):\n")
    assert "in fail\n" in told
    assert told.endswith(DEFECT)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (MemoryError(), 2, "there is not enough memory for this; ask for a smaller model or fewer rows."),
        (
            RuntimeError("can't allocate memory"),
            2,
            "there is not enough memory for this; ask for a smaller model or fewer rows.",
        ),
        (PermissionError(13, "Permission denied", "m"), 2, "Permission denied: m."),
        (FloatingPointError("the loss is not finite."), 2, "the loss is not finite."),
        (KeyboardInterrupt(), 130, "interrupted; nothing is half-written."),
    ],
)
def test_every_failure_has_its_code_and_a_sentence(broken, capsys, error, code, sentence):
    broken(error)
    assert main(["info", "m"]) == code
    assert capsys.readouterr().err == f"manymodes: {sentence}\n"


def test_exit_codes_are_in_the_help_of_every_command(capsys):
    for command in ([], ["fit"], ["compare"]):
        assert main([*command, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (
            "Exit codes: 0 done, 1 a defect of manymodes (MANYMODES_TRACEBACK=1 shows where), 2 input that cannot be "
            "used (one sentence says why), 130 interrupted."
        ) in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["frobnicate"], 'Unknown command "frobnicate".'),
        (["evaluate", "m", "--josn"], "Unknown option: --josn. Did you mean --json? See manymodes --help."),
        (["compare", "m", "m"], 'Command "compare" parameter FILE requires an argument. See manymodes --help.'),
        (["info", "--config"], "Parameter --config requires an argument. See manymodes --help."),
    ],
)
def test_a_command_that_makes_no_sense_is_told_in_a_sentence(capsys, words, sentence):
    assert refused(capsys, *words).startswith(sentence)
