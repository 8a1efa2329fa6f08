"""Requests that come at once are answered together, and none can tell."""

import asyncio
import threading

import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.apps.service import batching
from manymodes.apps.service.app import make_app
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations.given import LogProb

from .client import Client
from .rows import json_rows

MODELS = ("prices", "two", "zeros", "counts", "angles", "gaps", "corrected")
WAIT = 30  # seconds after which a test gives up


def row_of(models, name, place=0):
    return json_rows([feature.name for feature in models[name].features], place + 1)[place]


def questions(models, name, n=10):
    """Questions of one row each, of all kinds, with different settings."""
    targets = models[name].targets
    value = 0.5 if name == "angles" else 2.0
    asked = [
        ("predict", {}),
        ("predict", {"point": "median"}),
        ("predict", {"point": "mode"}),
        ("quantiles", {"levels": [0.1, 0.9]}),
        ("quantiles", {"levels": 0.3}),
        ("log_prob", {"targets": [dict.fromkeys(targets, value)]}),
        ("region", {"level": 0.7, "target": targets[0]}),
        ("modes", {}),
        ("sample", {"n_samples": 3, "random_state": 5}),
        ("probability", {"low": {targets[0]: 0.25}}),
    ]
    order = np.random.default_rng(0).permutation(len(asked) * n)[: 3 * n]
    found = []
    for place, which in (divmod(i, len(asked)) for i in order.tolist()):
        operation, options = asked[which]
        found.append((f"/v1/models/{name}/{operation}", {"rows": [row_of(models, name, place)], **options}))
    return found


@pytest.fixture
def passes(monkeypatch):
    """Numbers of rows of each forward pass, padding included."""
    counted = []
    density = Served.density

    def watched(self, columns):
        counted.append(len(columns[0]))
        return density(self, columns)

    monkeypatch.setattr(Served, "density", watched)
    return counted


@pytest.fixture
def gate(monkeypatch):
    """An event that lets the worker go on, once it is set; and one that tells that it waits."""
    answer, waits, goes_on = batching.answer, threading.Event(), threading.Event()

    def gated(served, parts):
        waits.set()
        assert goes_on.wait(WAIT)
        return answer(served, parts)

    monkeypatch.setattr(batching, "answer", gated)
    yield waits, goes_on
    goes_on.set()


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_does_not_depend_on_what_it_was_batched_with(client, models, name, passes):
    asked = questions(models, name)
    together = [response.json() for response in client.at_once(*asked)]
    assert max(passes) > len(asked) / 2
    alone = [client.post(path, json=body).json() for path, body in asked]
    assert together == alone
    assert not any("error" in answer for answer in alone)


def test_requests_that_wait_are_answered_by_one_forward_pass(client, models, passes):
    asked = [("/v1/models/prices/predict", {"rows": [row_of(models, "prices", i % 9)]}) for i in range(50)]
    assert all(response.status_code == 200 for response in client.at_once(*asked))
    assert sum(passes) == 50
    assert len(passes) <= 3


def test_a_request_alone_does_not_wait_for_others(client, models, passes):
    assert client.post("/v1/models/prices/predict", json={"rows": [row_of(models, "prices")]}).status_code == 200
    assert passes == [1]


def test_one_bad_row_spoils_no_answer_but_its_own(client, models, monkeypatch):
    density = Served.density

    def picky(self, columns):
        if 1e9 in columns[0]:
            raise InputError("X must stay near the training data; row 1 is too extreme for the network.")
        return density(self, columns)

    good = ("/v1/models/two/predict", {"rows": [row_of(models, "two")]})
    wild = ("/v1/models/two/predict", {"rows": [{"size": 1e9, "zip": 10}]})
    expected = client.post(good[0], json=good[1]).json()
    monkeypatch.setattr(Served, "density", picky)
    responses = client.at_once(good, good, wild, good)
    assert [response.status_code for response in responses] == [200, 200, 422, 200]
    assert all(response.json() == expected for response in responses if response.status_code == 200)
    assert responses[2].json() == {"error": "X must stay near the training data; row 1 is too extreme for the network."}


def test_a_question_without_an_answer_spoils_no_other_with_the_same_settings(client, models, monkeypatch):
    answer = LogProb.answer

    def picky(self, predicted, asked):
        if 1.5 in asked.of_rows:
            raise InputError("targets must be whole numbers; got 1.5.")
        return answer(self, predicted, asked)

    monkeypatch.setattr(LogProb, "answer", picky)
    rows = {"rows": [row_of(models, "counts")]}
    asked = [("/v1/models/counts/log_prob", rows | {"targets": [{"bikes": count}]}) for count in (1, 1.5, 2)]
    responses = client.at_once(*asked, *asked)
    assert [response.status_code for response in responses] == [200, 422, 200] * 2
    assert responses[1].json() == {"error": "targets must be whole numbers; got 1.5."}
    assert responses[2].json() == client.post(asked[2][0], json=asked[2][1]).json()


def test_a_failure_of_ours_is_told_without_its_details_and_spoils_no_other_answer(client, models, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("manymodes.apps.service.operations.searches.Modes.answer", broken)
    body = {"rows": [row_of(models, "prices")]}
    bad, good = client.at_once(("/v1/models/prices/modes", body), ("/v1/models/prices/predict", body))
    assert (bad.status_code, good.status_code) == (500, 200)
    assert bad.json() == {"error": "the service failed to answer, and what went wrong is written in its log."}
    assert "secret detail" in caplog.text


def test_more_requests_than_may_wait_are_sent_away(models, gate):
    waits, goes_on = gate
    body = {"rows": [row_of(models, "two")]}
    with Client(make_app({"two": models["two"]}, Limits(waiting=2))) as client:

        async def ask():
            def post():
                return asyncio.ensure_future(client.http.post("/v1/models/two/predict", json=body))

            first = post()
            await asyncio.to_thread(waits.wait, WAIT)
            others = [post() for _ in range(3)]
            done, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            ready = await client.http.get("/health/ready")
            goes_on.set()
            return [await task for task in (first, *others)], ready, len(done)

        responses, ready, n_done = client.run(ask())
        assert n_done == 1
        assert sorted(response.status_code for response in responses) == [200, 200, 200, 503]
        refused = next(response for response in responses if response.status_code == 503)
        assert refused.json() == {"error": "at most 2 requests may wait for a model; got one more. Try again later."}
        assert refused.headers["retry-after"] == "1"
        assert ready.status_code == 503
        assert ready.json() == {
            "error": "the service must be ready to take requests; too many requests wait for 'two'. Try again later."
        }
        assert client.get("/health/ready").json() == {"status": "ready", "models": ["two"]}


def test_an_answer_that_takes_too_long_is_given_up(models, gate):
    with Client(make_app({"two": models["two"]}, Limits(seconds=0.05))) as client:
        response = client.post("/v1/models/two/predict", json={"rows": [row_of(models, "two")]})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json() == {
            "error": "an answer must take at most 0.05 s; this one takes longer. Ask with fewer rows, or later."
        }
        gate[1].set()
        assert client.get("/health/live").status_code == 200


def test_short_questions_need_not_wait_for_all_of_a_long_one(client, models, monkeypatch):
    monkeypatch.setattr(batching, "BATCH", 32)  # two rows of modes
    rows = [row_of(models, "zeros", i) for i in range(30)]
    ended = []

    async def ask(operation, n):
        await client.http.post(f"/v1/models/zeros/{operation}", json={"rows": rows[:n]})
        ended.append(operation)

    async def both():
        await asyncio.gather(ask("modes", 30), ask("predict", 1))

    client.run(both())
    assert ended == ["predict", "modes"]


def test_a_request_that_was_given_up_is_not_answered_any_more(models, gate, passes):
    waits, goes_on = gate
    body = {"rows": [row_of(models, "two")]}
    with Client(make_app({"two": models["two"]}, Limits())) as client:

        async def ask():
            def post():
                return asyncio.ensure_future(client.http.post("/v1/models/two/predict", json=body))

            first = post()
            await asyncio.to_thread(waits.wait, WAIT)
            gone, stays = post(), post()
            await client.http.get("/health/live")  # both wait by now
            gone.cancel()
            await asyncio.wait([gone])
            goes_on.set()
            return await first, await stays

        assert [response.status_code for response in client.run(ask())] == [200, 200]
    assert passes == [1, 1]
