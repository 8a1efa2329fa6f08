"""Options in a TOML file: a table for each command, options spelled as on the command line. Imports no torch."""

from __future__ import annotations

import difflib
import inspect
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cyclopts import App, Argument, ArgumentCollection, Token

from manymodes import _checks

_Values = Mapping[str, Any]


class ConfigFile:
    """Options of a TOML file, which stand where the command line says nothing; what cyclopts calls a config.

    Args:
        path: The file.
        app: The command line, whose commands and options its tables and keys must be.

    Raises:
        ValueError: A file that cannot be read, or tables, keys or values that no command has.
    """

    def __init__(self, path: Path, app: App) -> None:
        self._path, self._tables = path, _read(path)
        commands = sorted(name for name in app if not name.startswith("-"))
        for command, options in self._tables.items():
            where = f"{str(path)!r}"
            if command not in commands:
                raise _checks.InputError(f"{where} has a table [{command}]; {_nearest('table', command, commands)}")
            if not isinstance(options, Mapping):
                raise _checks.InputError(f"{where} must hold a table [{command}]; got {_text(options)}.")
            self._check(command, options, _by_key(app[command].assemble_argument_collection()))

    def _check(self, command: str, options: _Values, known: Mapping[str, Argument]) -> None:
        given: set[str] = set()
        for name, value in options.items():
            key, where = _key(name), f"{str(self._path)!r} [{command}]"
            if key not in known:
                raise _checks.InputError(f"{where} has a key {name!r}; {_nearest('key', key, list(known))}")
            if key in given:
                raise _checks.InputError(f"{where} must hold {key!r} once; got it with - and with _.")
            given.add(key)
            _check_value(f"{where} {name}", known[key], value)

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in the arguments of a command that the command line left out."""
        if not commands:
            return
        known = _by_key(arguments)
        for name, value in self._tables.get(commands[0], {}).items():
            argument = known[_key(name)]
            if argument.tokens:
                continue
            for index, one in enumerate(value if isinstance(value, list) else [value]):
                argument.append(Token(keyword=argument.name, value=_plain(one), source=str(self._path), index=index))


def as_toml(command: str, arguments: ArgumentCollection, bound: inspect.BoundArguments) -> str:
    """Return the options of a command in effect as a TOML file; those that are not set are comments.

    Args:
        command: Its name.
        arguments: What it can be called with.
        bound: What it is called with.
    """
    bound.apply_defaults()
    lines = [f"[{command}]"]
    for key, argument in _by_key(arguments).items():
        value = bound.arguments[argument.field_info.name]
        lines.append(f"# {key} is not set" if value is None else f"{key} = {_toml(value)}")
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _checks.InputError(f"{str(path)!r} is not UTF-8 text (byte {error.start}); save it in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise _checks.InputError(f"{str(path)!r} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}.") from None


def _by_key(arguments: Iterable[Argument]) -> dict[str, Argument]:
    """Return what a command can be called with by its key in a file."""
    return {argument.name.lstrip("-").lower(): argument for argument in arguments}


def _key(name: str) -> str:
    return name.replace("_", "-")


def _check_value(where: str, argument: Argument, value: Any) -> None:
    """Refuse a value of another kind than an option takes; what its text may be is checked as on the command line."""
    several = isinstance(value, list) and "list" in str(argument.hint)
    for one in value if several else [value]:
        if not isinstance(one, str | int | float):
            raise _checks.InputError(f"{where} must be a text, a number, true or false; got {_text(one)}.")
        if (argument.hint is bool) != isinstance(one, bool):
            rule = "must be true or false" if argument.hint is bool else "must not be true or false"
            raise _checks.InputError(f"{where} {rule}; got {_text(one)}.")


def _plain(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    """Return a value as a message shows it."""
    return _toml(value) if isinstance(value, str | int | float) else f"a {_KINDS.get(type(value), 'point in time')}"


_KINDS: Mapping[type, str] = {dict: "table", list: "list"}


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _nearest(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"the nearest is {near[0]!r}." if near else f"{kind}s may be {_checks.quoted(known)}."
