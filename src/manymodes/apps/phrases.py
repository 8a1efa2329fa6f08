"""Sentences of the library as people without Python need them: settings become options of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPTIONS: Sequence[tuple[str, str]] = (
    (r"target_families=\{'[^']*': '(\w+)'\}", r"--family \1"),
    (r"target_families=\{'[^']*': \('(\w+)', [^)]*\)\}", r"--family \1"),
    (r"\brounding=([\d.e+-]*\d)", r"--rounding \1"),
    (r"\batoms=\(([^)]*?),?\)", r"--atoms \1"),
    (r"\bcategorical_features\b", "--categorical"),
    (r"; more epochs, or a higher lr, may help", "; --preset best computes more"),
)


def for_people(sentence: str) -> str:
    """Return a sentence that names options in place of settings."""
    for pattern, option in _OPTIONS:
        sentence = re.sub(pattern, option, sentence)
    return sentence
