"""The command line: its commands, and what errors and exit codes mean. Torch is imported inside the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError

import manymodes
from manymodes import _checks
from manymodes.apps.commands.evaluate import evaluate
from manymodes.apps.commands.fit import fit
from manymodes.apps.commands.predict import predict
from manymodes.apps.commands.study import study

_BAD_INPUT, _INTERRUPTED = 2, 130

app = App(
    name="manymodes",
    version=manymodes.__version__,
    help="Predict a whole distribution where one input has several right answers.",
    help_epilogue="Exit codes: 0 done, 2 input that cannot be used (one sentence says why), 130 interrupted.",
    suppress_keyboard_interrupt=False,  # main says what an interruption means
)
for _command in (fit, predict, evaluate, study):
    app.command(_command)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever the user got wrong becomes one sentence."""
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(f"{error} See manymodes --help.", _BAD_INPUT)
    except KeyboardInterrupt as interruption:
        return _refuse(str(interruption) or "interrupted; nothing is half-written.", _INTERRUPTED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror}{where}." if error.strerror else str(error), _BAD_INPUT)
    except (_checks.InputError, FloatingPointError) as error:
        return _refuse(str(error), _BAD_INPUT)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and "WORLD_SIZE" in os.environ:
            reason = str(error).partition("\n")[0]
            return _refuse(f"the other processes of this fit cannot be reached any more ({reason}).", _BAD_INPUT)
        if "memory" not in str(error):  # torch reports a failed allocation as a RuntimeError
            raise
        return _refuse("there is not enough memory for this; ask for a smaller model or fewer rows.", _BAD_INPUT)
    return 0


def run() -> None:
    """Be the program ``manymodes``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± still gets its table
    sys.exit(main())


def _refuse(sentence: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")  # of a process among those of torchrun
    name = "manymodes" if rank == "0" else f"manymodes, process {rank}"
    print(f"{name}: {sentence}", file=sys.stderr)  # noqa: T201
    return code
