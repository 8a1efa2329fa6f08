"""The report's section on how to use the model: in Python, in a shell, and what the columns of predictions mean."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from manymodes.apps.report.judged import Judged
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.pages import code, paragraph, subheading, table

_MOST_FEATURES = 12  # whose values are written into the example


def use_parts(judged: Judged) -> list[str]:
    """Return lines of Python and of a shell, and what each column of predictions means."""
    return [
        subheading("In Python"),
        code(python_lines(judged)),
        subheading("In a shell"),
        code(_shell_lines(judged)),
        paragraph(
            f"NEW.csv needs {_listed(judged.features)}; other columns do no harm. manymodes COMMAND --help tells all "
            "options."
        ),
        _output_columns(judged.targets),
        paragraph(
            "Trust predictions as far as the scores and the calibration above go, for rows like those of the fit."
        ),
    ]


def python_lines(judged: Judged) -> str:
    """Return a script that asks the model about one row."""
    target = judged.targets[0]
    several = len(judged.targets) > 1
    chosen = f", target={target!r}" if several else ""
    middle = float(judged.y[:, 0].median())
    low = f"{{{target!r}: {middle:.4g}}}" if several else f"{middle:.4g}"
    lines = [
        "import numpy as np",
        "",
        "import manymodes as mm",
        "",
        f"model = mm.load({judged.path!r})",
        *_rows(judged),
    ]
    lines += [
        "density = model.predict_distribution(rows)  # all that follows is read off it",
        "",
        "# one number: the median, the mean, or the mode, which is the likeliest value",
        'model.predict(rows, point="median")',
        "# from the 5 % to the 95 % quantile",
        "model.predict_interval(rows, 0.9)",
        "# the smallest set that holds 90 %, in pieces where there are several modes",
        f"model.predict_region(rows, 0.9{chosen}).to_dict()",
        "# every likely place, with its probability",
        "model.predict_modes(rows).to_dict()",
        f"# how probable {target} is to be {middle:.4g} or more",
    ]
    return "\n".join([*lines, f"model.predict_probability(rows, low={low})"])


def _rows(judged: Judged) -> list[str]:
    if len(judged.features) > _MOST_FEATURES:
        names = _listed(judged.features)
        return [f"rows = ...  # a data frame, or a dict of arrays, with {names}"]
    cells = [f"    {name!r}: np.array([{_literal(column[0])}])," for name, column in judged.X.items()]
    return ["rows = {  # or a data frame", *cells, "}"]


def _literal(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return f"np.datetime64({str(value)!r})"
    if value is None:
        return "None"
    if value != value:
        return "np.nan"
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))
    return repr(value.item() if isinstance(value, np.generic) else value)


def _shell_lines(judged: Judged) -> str:
    path = Path(judged.path)
    is_in_a_folder = path.name == MODEL_FILE and path.parent != Path()
    model = quote(str(path.parent if is_in_a_folder else path))
    return "\n".join(
        [
            "# what the model says of new rows",
            f"manymodes predict {model} NEW.csv --output PREDICTIONS.csv",
            "# scores on rows with known targets, and this page about them",
            f"manymodes evaluate {model} LATER.csv",
            f"manymodes report {model} LATER.csv --output later.html",
            "# move the features in a browser, and see the density follow",
            f"manymodes explore {model}",
            "# answers over HTTP; a folder for machines without torch",
            f"manymodes serve {model}",
            f"manymodes export {model} --to onnx",
        ]
    )


def _output_columns(targets: list[str]) -> str:
    name = targets[0]
    rows = [
        [
            f"{name}_mean",
            "average; of a density with several modes perhaps a value that never happens",
        ],
        [f"{name}_median", "as likely to be exceeded as not"],
        [f"{name}_q0.1 and others", "value that is not exceeded with that probability, here 10 %"],
        [f"{name}_lower_90, {name}_upper_90", "ends of the central interval that holds 90 %"],
        ["with --modes, --region, --samples N", "likely places and their probabilities; the smallest 90 % set; draws"],
        ["log_density", "log p(y | x) of the known target, in nats, where the file has it; higher is better"],
    ]
    several = " (and likewise for every target)" if len(targets) > 1 else ""
    return table(["column", "meaning"], rows, caption=f"What manymodes predict writes{several}", words=True)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_FEATURES])
    word = "column" if len(names) == 1 else "columns"
    more = f" and {len(names) - _MOST_FEATURES} more" if len(names) > _MOST_FEATURES else ""
    return f"the {word} {shown}{more}"
