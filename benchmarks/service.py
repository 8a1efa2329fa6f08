"""`python -m benchmarks.service`: requests of one row to `manymodes serve` on this computer, from it.

The most that it answers is measured with `wrk`, whose connections each send a request as soon as the last one is
answered. How long requests take at half of the load that is asked for is measured at a fixed rate, from the moment at
which each one is due: a server that stalls is charged for all that would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import manymodes as mm
from benchmarks.figure import Figure, describe_machine

REQUIRED, WORST_MS = 1500, 10.0  # requests of one row in a second; 99 % within so long at half of that
CONNECTIONS, SECONDS, REPEATS = 32, 6, 3
_ROW = {"x0": 0.1, "x1": 1.25, "x2": 0.3, "x3": 0.2, "x4": -1.5, "x5": 0.7, "kind": "a"}


def rates() -> Iterator[Figure]:
    """Measure how many requests of one row are answered in a second, and how long they take at a fixed rate."""
    with tempfile.TemporaryDirectory() as folder:
        fit_models(Path(folder))
        with served(Path(folder)) as port:
            for preset in ("default", "fast"):
                yield most(port, preset)
            for preset in ("default", "fast"):
                yield latency(port, preset)


def fit_models(folder: Path) -> None:
    """Write a model of each preset, trained for a moment: speed depends on shapes alone."""
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=400) for name in _ROW if name != "kind"} | {"kind": rng.choice(["a", "b", "c"], 400)}
    y = {"y": table["x0"] ** 2 + 0.3 * rng.normal(size=400)}
    for preset, n_components in (("default", 10), ("fast", "auto")):
        model = mm.MDNRegressor(n_components, preset=preset, frequency=0.1, max_epochs=3, random_state=0)
        model.fit(table, y).save(folder / f"{preset}.mm")


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve models in a process of its own; yield the port."""
    command = [sys.executable, "-m", "manymodes", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+);", process.stderr.readline())
        assert found is not None
        try:
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def most(port: int, preset: str) -> Figure:
    """Return the figure of requests in a second."""
    found = [_wrk(port, preset) for _ in range(REPEATS)]
    name = f"requests of one row to a {preset} model, {CONNECTIONS} connections of wrk"
    value = f"{np.median(found):,.0f} a second, {min(found):,.0f} to {max(found):,.0f}"
    return Figure(name, value, f"{REQUIRED:,} are asked for")


def _wrk(port: int, preset: str) -> float:
    """Return how many requests in a second `wrk` sees answered."""
    script = f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = '{_body()}'\n"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        shape = ["-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", file.name]
        command = ["wrk", *shape, f"http://127.0.0.1:{port}{_address(preset)}"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in printed, printed
    return float(re.findall(r"Requests/sec:\s*([\d.]+)", printed)[0])


def latency(port: int, preset: str) -> Figure:
    """Return the figure of milliseconds at half of the rate that is asked for."""
    rate = REQUIRED // 2
    body = _body()
    head = f"POST {_address(preset)} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    middle, worst = _percentiles(port, f"{head}content-length: {len(body)}\r\n\r\n{body}".encode(), rate)
    least, most_of_nothing = _percentiles(port, b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n", rate)
    name = f"milliseconds of a request of one row to a {preset} model at {rate:,} a second"
    spread = f"{worst.min():.1f} to {worst.max():.1f}"
    value = f"median {np.median(middle):.1f}, 99 % within {np.median(worst):.1f}, {spread}"
    nothing = f"of a request that asks for nothing {np.median(least):.1f} and {np.median(most_of_nothing):.1f}"
    return Figure(name, value, f"99 % within {WORST_MS:g} are asked for; {nothing}")


def _percentiles(port: int, request: bytes, rate: int) -> Any:
    """Return the median and the 99th percentile of milliseconds, (2, R), of several runs."""
    found = np.array([asyncio.run(_at_rate(port, request, rate)) for _ in range(REPEATS)])
    return np.percentile(found, [50, 99], axis=1)


async def _at_rate(port: int, request: bytes, rate: int) -> list[float]:
    """Return the milliseconds from when each request was due until it was answered."""
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(2 * CONNECTIONS)]
    idle = deque(connections)  # taken in turn: one that is silent for long would be closed
    found: list[float] = []
    start, count = loop.time() + 0.1, rate * SECONDS
    done = loop.create_future()

    def send(number: int) -> None:
        due = start + number / rate
        if not idle:  # all connections wait: it is late then, and its time counts from when it was due
            loop.call_later(0.001, send, number)
            return
        idle.popleft().ask(request, lambda connection: answered(connection, due))

    def answered(connection: _Connection, due: float) -> None:
        found.append(1e3 * (loop.time() - due))
        idle.append(connection)
        if len(found) == count:
            done.set_result(None)

    for number in range(count):
        loop.call_at(start + number / rate, send, number)
    await asyncio.wait_for(done, 10 * SECONDS)
    for connection in connections:
        connection.transport.close()
    return found[rate:]  # the first second warms up


class _Connection(asyncio.Protocol):
    """A connection that asks one request at a time."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, answered: Callable[[_Connection], None]) -> None:
        self.answer, self.answered = b"", answered
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if found and length is not None and len(body) == int(length[1]):
            assert head.startswith(b"HTTP/1.1 200"), self.answer
            self.answered(self)


def _address(preset: str) -> str:
    return f"/v1/models/{preset}/predict"


def _body() -> str:
    return json.dumps({"rows": [_ROW]})


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (rates,)


def main() -> None:
    """Print the figures and the machine."""
    print(describe_machine())
    for measure in ALL:
        for figure in measure():
            print(figure.line(), flush=True)


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s")
