"""The service as it runs: real connections on this computer, clients that misbehave, and how it ends."""

import http.client
import json
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from manymodes._checks import InputError
from manymodes.apps.commands.serve import serve as command
from manymodes.apps.service import running
from manymodes.apps.service.limits import Limits

from .rows import json_rows

WAIT = 30  # seconds after which a test gives up
PATH = "/v1/models/prices/predict"
LIMITS = Limits(rows=100, body_bytes=100_000, arrival_seconds=1.0)


@pytest.fixture(scope="module")
def port(models):
    """The port of a server in a thread."""
    listening = running.listen("127.0.0.1", 0)
    server = running.make_server(models, LIMITS)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.fixture
def rows(models):
    return json_rows([feature.name for feature in models["prices"].features], 50)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), WAIT)


def post(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def head(length=None, path=PATH, **more):
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in more.items()]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def received(connection):
    """All that comes until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def told(answer):
    """The status and the sentence of an answer as it came."""
    start, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in start
    return int(start.split()[1]), json.loads(body)["error"]


# --- many clients ---


def test_each_of_many_clients_gets_its_own_answer(port, rows, client):
    expected = [client.post(PATH, json={"rows": [row]}).json() for row in rows]

    def ask(first):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        found = []
        for place in [*range(first, len(rows)), *range(first)]:
            connection.request("POST", PATH, json.dumps({"rows": [rows[place]]}), {"content-type": "application/json"})
            found.append((place, json.loads(connection.getresponse().read())))
        connection.close()
        return found

    with ThreadPoolExecutor(8) as clients:
        answers = [answer for found in clients.map(ask, range(0, 48, 6)) for answer in found]
    assert len(answers) == 8 * 50
    assert all(answer == expected[place] for place, answer in answers)


def test_requests_on_one_connection_are_answered_in_their_order(port, rows):
    with connect(port) as connection:
        bodies = [json.dumps({"rows": rows[: n + 1]}).encode() for n in range(3)]
        last = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        connection.sendall(b"".join(head(len(body)) + body for body in bodies) + last)
        answers = received(connection).split(b"HTTP/1.1 200 OK")[1:]
    counts = [len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) for answer in answers[:3]]
    assert counts == [1, 2, 3]
    assert answers[3].endswith(b'{"status": "live"}')


# --- clients that misbehave ---


def test_a_head_that_does_not_arrive_is_given_up(port):
    with connect(port) as connection:
        connection.sendall(head(10)[:-4])
        assert told(received(connection)) == (408, "a head must arrive within 1 s; this one took longer.")


def test_a_body_that_does_not_arrive_is_given_up(port):
    with connect(port) as connection:
        connection.sendall(head(10) + b'{"row')
        assert told(received(connection)) == (408, "a body must arrive within 1 s; this one took longer.")


def test_a_body_without_end_is_read_to_the_limit_only(port):
    chunk = b"%x\r\n" % 16384 + b" " * 16384 + b"\r\n"
    with connect(port) as connection:
        connection.sendall(head())
        with suppress(ConnectionError):
            for _ in range(5000):
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(chunk)
            else:
                pytest.fail("the service reads on and on")
        answer = connection.recv(65536)
    status, sentence = told(answer)
    assert status == 413
    assert sentence == "a body must have at most 100000 bytes; got more. Send the rows in several requests."


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(port):
    with connect(port) as connection:
        connection.sendall(head(10**12))
        assert told(received(connection))[0] == 413


@pytest.mark.parametrize("length", [9_999, 100_001])
def test_a_head_without_end_is_refused(port, length):
    with connect(port) as connection:
        connection.sendall(head(2)[:-2] + b"x-long: " + b"y" * length)
        if length < 65536:
            connection.sendall(b"\r\nconnection: close\r\n\r\n{}")
            assert told(received(connection))[0] == 422
        else:
            assert told(connection.recv(65536)) == (431, "a head must have at most 65536 bytes.")


@pytest.mark.parametrize(
    "line", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", b"\r\n \r\n\r\n"]
)
def test_what_is_no_http_is_refused(port, line):
    with connect(port) as connection:
        connection.sendall(line)
        assert told(received(connection)) == (400, "the request must be HTTP/1.1; got something else.")


def test_clients_that_go_away_stop_nobody_elses_answer(port, rows):
    body = json.dumps({"rows": rows}).encode()
    for path in ("/v1/models/prices/modes", "/v1/models/corrected/modes", PATH, PATH):
        for cut in (None, -1):
            connection = connect(port)
            connection.sendall((head(len(body), path) + body)[:cut])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
            connection.close()
    status, answer = post(port, PATH, {"rows": rows})
    assert status == 200
    assert len(answer["predictions"]) == len(rows)


def test_a_large_body_is_answered_as_a_small_one(port, rows):
    _, answer = post(port, PATH, {"rows": rows})
    padded = [row | {"notes": "x" * 900} for row in rows]
    assert post(port, PATH, {"rows": padded}) == (200, answer)


def test_a_refusal_that_leaves_a_body_unread_closes_the_connection(port):
    for request in (head(path="/nothing"), head(10**4, path="/health/live"), head(path="/v1/models/no/predict")):
        with connect(port) as connection:
            connection.sendall(request)
            assert told(received(connection))[0] in (404, 405)


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(port, rows):
    body = json.dumps({"rows": rows[:1]}).encode()
    with connect(port) as connection:
        offer = {
            "connection": "Upgrade, HTTP2-Settings",
            "upgrade": "h2c",
            "http2-settings": "AAMAAABkAAQAoAAAAAIAAAAA",
        }
        connection.sendall(head(len(body), **offer) + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


# --- the process ---


def test_a_process_that_is_told_to_end_answers_what_it_was_asked(folder, rows):
    body = json.dumps({"rows": rows}).encode()
    started = [sys.executable, "-m", "manymodes", "serve", str(folder / "prices.mm"), "--port", "0"]
    with subprocess.Popen(started, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        port = int(re.search(r"at http://127\.0\.0\.1:(\d+); ", line)[1])
        with connect(port) as connection:
            connection.sendall(head(len(body), expect="100-continue"))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            answer = received(connection)
        assert process.wait(WAIT) == 0
        assert process.stderr.read() == ""
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == len(rows)


def test_ctrl_c_ends_a_server_without_an_error(models):
    server = running.make_server(models, LIMITS)
    before = signal.getsignal(signal.SIGINT)
    with server.capture_signals():
        signal.raise_signal(signal.SIGINT)
        assert server.should_exit
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def told_lines(monkeypatch, folder):
    """Return a function that runs the command without serving, and returns what it tells."""

    class Stub:
        def run(self, sockets):
            for listening in sockets:
                listening.close()

    monkeypatch.setattr(running, "make_server", lambda *_: Stub())
    monkeypatch.setattr(running.gc, "freeze", lambda: None)
    monkeypatch.setattr(running.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(running.sys, "setswitchinterval", lambda _: None)

    def run(capsys, **options):
        command(folder / "two.mm", port=0, **options)
        return capsys.readouterr().err.splitlines()

    return run


def test_a_host_that_others_can_reach_is_told_what_that_means(told_lines, capsys):
    first, second = told_lines(capsys, host="0.0.0.0")
    assert first == (
        "Mind: --host 0.0.0.0 lets every computer that reaches this one ask these models, without a password and "
        "unencrypted."
    )
    assert second.startswith("Serving 'two' at http://0.0.0.0:")
    assert len(told_lines(capsys, host="127.0.0.1")) == 1
    assert told_lines(capsys, host="0.0.0.0", quiet=True) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": 65536}, "--port must be an integer from 0 to 65535; got 65536."),
        ({"max_rows": 0}, "--max-rows must be an integer >= 1; got 0."),
        ({"max_body_bytes": -1}, "--max-body-bytes must be an integer >= 1; got -1."),
        ({"time_limit": 0.0}, "--time-limit must be a number > 0; got 0.0."),
    ],
)
def test_an_option_out_of_range_is_refused_before_models_are_loaded(tmp_path, options, sentence):
    with pytest.raises(InputError) as error:
        command(tmp_path / "no", **options)
    assert str(error.value) == sentence


def test_an_address_that_is_taken_is_refused(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as error:
            command(folder / "two.mm", port=port)
    assert str(error.value) == (
        f"--host and --port must be an address of this computer that is free; got 127.0.0.1:{port} (Address already in "
        "use)."
    )


def test_a_missing_package_is_told_with_how_to_install_it(folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "manymodes.apps.service.running")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError) as error:
        command(folder / "two.mm")
    assert str(error.value) == "manymodes serve needs uvicorn; install it with: pip install 'manymodes[apps]'."
