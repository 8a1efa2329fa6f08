import subprocess

import pytest

from manymodes.apps.cli import main
from tests.apps.commands.tables import refused


@pytest.fixture
def completed(tmp_path, capsys):
    """Return a function that lets bash complete words of a command line with our script."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)

    def complete(*words):
        line = " ".join(words)
        asked = (
            f"source ./script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; "
            f"COMP_POINT={len(line)}; $(complete -p manymodes | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        result = subprocess.run(
            ["bash", "--norc", "-c", asked], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        return result.stdout.split()

    return complete


def test_bash_completes_commands_and_options(completed):
    assert completed("manymodes", "fi") == ["fit"]
    assert completed("manymodes", "co") == ["compare", "completion"]
    assert completed("manymodes", "predict", "--mo") == ["--modes"]
    assert completed("manymodes", "fit", "--preset", "b") == ["best"]


def test_bash_completes_names_of_files(completed, tmp_path):
    (tmp_path / "houses.csv").write_text("")
    assert completed("manymodes", "info", "hou") == ["houses.csv"]


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -F"), ("zsh", "#compdef manymodes"), ("fish", "complete -c")]
)
def test_every_shell_gets_a_script_that_knows_all_commands(shell, word, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert word in script
    for command in ("fit", "info", "predict", "evaluate", "compare", "study"):
        assert command in script


def test_another_shell_is_refused(capsys):
    assert refused(capsys, "completion", "tcsh") == (
        'Invalid value "tcsh" for SHELL. Choose from: "bash", "zsh", "fish". See manymodes --help.'
    )
