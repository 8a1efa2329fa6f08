"""The command line: its commands, and what errors and exit codes mean. Torch is imported inside the commands."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

import manymodes
from manymodes import _checks
from manymodes.apps.commands.compare import compare
from manymodes.apps.commands.completion import completion
from manymodes.apps.commands.evaluate import evaluate
from manymodes.apps.commands.explore import explore
from manymodes.apps.commands.export import export
from manymodes.apps.commands.fit import fit
from manymodes.apps.commands.info import info
from manymodes.apps.commands.predict import predict
from manymodes.apps.commands.report import report
from manymodes.apps.commands.serve import serve
from manymodes.apps.commands.settings import Flag
from manymodes.apps.commands.study import study
from manymodes.apps.config import ConfigFile, as_toml

_DONE, _DEFECT, _BAD_INPUT, _INTERRUPTED = 0, 1, 2, 130

_AS_VALUES: dict[str, Any] = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}
_STREAM = "./-"  # the same path as "-", which cyclopts would take for an option
_TRACEBACK = "MANYMODES_TRACEBACK"

app = App(
    name="manymodes",
    version=manymodes.__version__,
    help="Predict a whole distribution where one input has several right answers.",
    help_epilogue=(
        "Exit codes: 0 done, 1 a defect of manymodes (MANYMODES_TRACEBACK=1 shows where), 2 input that cannot be used "
        "(one sentence says why), 130 interrupted."
    ),
    suppress_keyboard_interrupt=False,  # main says what an interruption means
)
_commands: Sequence[Callable[..., None]] = (
    fit,
    info,
    predict,
    evaluate,
    compare,
    report,
    explore,
    serve,
    export,
    study,
    completion,
)
for _place, _command in enumerate(_commands):
    app.command(_command, sort_key=_place)  # help names them in this order
app.meta.group_parameters = Group("Of every command")
app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def command_line(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
    show_config: Flag = False,
) -> None:
    """Run a command with what the command line and a file of options say.

    Parameters
    ----------
    tokens
        The command and its options.
    config
        TOML file with a table for each command, say [fit], and its options as keys, say target = ["price"]. The
        command line wins over it.
    show_config
        Print the options in effect as such a file, and run nothing.
    """
    app.config = () if config is None else (ConfigFile(config, app),)
    words = [_STREAM if word == "-" else word for word in tokens]
    if not show_config:
        app(words, **_AS_VALUES)
        return
    called, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    command = next(iter(app.parse_commands(words)[0]), None)
    if command is None or called is not app[command].default_command:  # help was asked for
        app(words, **_AS_VALUES)
        return
    print(as_toml(command, app[command].assemble_argument_collection(), bound))  # noqa: T201


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever the user got wrong becomes one sentence."""
    try:
        app.meta(tokens, **_AS_VALUES)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        _close_output()
    except CycloptsError as error:
        return _refuse(f"{_said(error)} See manymodes --help.", _BAD_INPUT)
    except KeyboardInterrupt as interruption:
        return _refuse(str(interruption) or "interrupted; nothing is half-written.", _INTERRUPTED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror}{where}." if error.strerror else str(error), _BAD_INPUT)
    except (_checks.InputError, FloatingPointError) as error:
        return _refuse(str(error), _BAD_INPUT)
    except Exception as error:  # noqa: BLE001  # whatever else happens is told as what it is: ours
        return _refuse_failure(error)
    return _DONE


def run() -> None:
    """Be the program ``manymodes``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± still gets its table
    warnings.showwarning = _tell_warning
    sys.exit(main())


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Tell a warning as a sentence, without the line of code that it comes from."""
    print(f"manymodes: {message}", file=sys.stderr)  # noqa: T201


def _refuse_failure(error: Exception) -> int:
    """Tell what the machine could not do, or else that the failure is a defect."""
    reason = (str(error) or type(error).__name__).partition("\n")[0]
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        # torch reports a failed allocation as a RuntimeError
        return _refuse("there is not enough memory for this; ask for a smaller model or fewer rows.", _BAD_INPUT)
    if isinstance(error, RuntimeError) and "WORLD_SIZE" in os.environ:
        return _refuse(f"the other processes of this fit cannot be reached any more ({reason}).", _BAD_INPUT)
    if os.environ.get(_TRACEBACK) == "1":
        traceback.print_exception(error)
    return _refuse(
        f"{type(error).__name__}: {reason.rstrip('.')}; this is a defect of manymodes, please report it with what "
        f"{_TRACEBACK}=1 shows.",
        _DEFECT,
    )


def _said(error: CycloptsError) -> str:
    """Return what is wrong with a command line in a sentence."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return (
            f"there is no place for {_checks.quoted(error.unused_tokens)}; repeat an option for several values, and "
            "put a pattern of files in quotes."
        )
    return str(error)


def _close_output() -> None:
    """Let the standard output lead nowhere, so that Python does not complain when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _refuse(sentence: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")  # of a process among those of torchrun
    name = "manymodes" if rank == "0" else f"manymodes, process {rank}"
    print(f"{name}: {sentence}", file=sys.stderr)  # noqa: T201
    return code
