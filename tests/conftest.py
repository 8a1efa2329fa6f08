"""One thread for torch, and the shared tables of real data."""

from __future__ import annotations

import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: more threads make small tests slower

from pathlib import Path

import numpy as np
import pytest

_DATA = Path(os.environ.get("MANYMODES_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, the one that the system has; while it is there, no other event loop can run."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("MANYMODES_REQUIRE_BROWSER") == "1":
            pytest.fail("there is no Chromium; install the package chromium")
        pytest.skip("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def shared_table():
    """Return a function that reads a table of the shared data as {column: values}."""

    def read(name: str) -> dict[str, np.ndarray]:
        file = _DATA / name / f"{name}.npz"
        if not file.is_file():
            message = f"the shared data folder has no {name}"
            if os.environ.get("MANYMODES_REQUIRE_DATA") == "1":
                pytest.fail(message)
            pytest.skip(message)
        with np.load(file, allow_pickle=False) as arrays:
            values = np.column_stack([arrays["X"], arrays["y"]])
            names = [*arrays["feature_names"].tolist(), *arrays["target_names"].tolist()]
        return dict(zip(names, values.T, strict=True))

    return read


@pytest.fixture
def fail_at_judgement(monkeypatch):
    """Return a function that lets the n-th judgement of an epoch, in whatever fit, raise an error."""
    from manymodes.training import run

    judge, calls = run.evaluate, []

    def prepare(n: int, error: type[BaseException] | BaseException) -> None:
        def judge_or_fail(network, *rest):
            calls.append(network)
            if len(calls) == n:
                raise error
            return judge(network, *rest)

        monkeypatch.setattr(run, "evaluate", judge_or_fail)

    return prepare
