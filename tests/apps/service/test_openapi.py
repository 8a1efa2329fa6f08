"""What the OpenAPI document says is so: what it allows is answered as it says, and nothing else makes it stumble."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .schemas import Schemas, spoiled

MODELS = ("prices", "two", "zeros", "counts", "angles", "gaps", "corrected")
OPERATIONS = ("predict", "quantiles", "log_prob", "region", "modes", "sample", "probability")
SETTINGS = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def schemas_of(document, name, operation):
    post = document["paths"][f"/v1/models/{name}/{operation}"]["post"]
    return (part["content"]["application/json"]["schema"] for part in (post["requestBody"], post["responses"]["200"]))


def fitting(body, operation):
    """A body whose parts fit one another, which no schema can say: as many targets as rows, ends in order."""
    n_rows = len(body["rows"])
    if operation == "log_prob":
        body["targets"] = (body["targets"] * n_rows)[:n_rows] or [None] * n_rows
    if operation == "probability":
        body = {key: body[key] for key in ("rows", "low" if "low" in body else "high")}
        for key in set(body) - {"rows"}:
            body[key] = as_long(body[key], n_rows)
    return body


def as_long(end, n_rows):
    if isinstance(end, dict):
        return {name: as_long(part, n_rows) for name, part in end.items()}
    return (end * n_rows)[:n_rows] or [None] * n_rows if isinstance(end, list) else end


def is_told(response):
    """Whether an error is one sentence and shows nothing of the inside."""
    (sentence,) = response.json().values()
    return list(response.json()) == ["error"] and "Traceback" not in sentence and 'File "' not in sentence


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_what_the_document_allows_is_answered_as_it_says(client, document, name, operation):
    schemas = Schemas(document)
    body_schema, answer_schema = schemas_of(document, name, operation)

    @SETTINGS
    @given(schemas.values(body_schema))
    def check(body):
        body = fitting(body, operation)
        if operation == "log_prob" and None in body["targets"]:
            return
        assert schemas.allows(body_schema, body)
        response = client.post(f"/v1/models/{name}/{operation}", content=json.dumps(body), headers=JSON)
        assert response.status_code == 200, (body, response.text)
        assert schemas.allows(answer_schema, response.json()), response.text
        (answers,) = response.json().values()
        assert len(answers) == len(body["rows"])

    check()


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_the_document_does_not_allow_is_refused_in_a_sentence(client, document, operation):
    schemas = Schemas(document)

    @settings(SETTINGS, max_examples=60)
    @given(st.data())
    def check(data):
        name = data.draw(st.sampled_from(MODELS))
        body_schema, answer_schema = schemas_of(document, name, operation)
        body = data.draw(spoiled(fitting(data.draw(schemas.values(body_schema)), operation)))
        response = client.post(f"/v1/models/{name}/{operation}", content=json.dumps(body), headers=JSON)
        if response.status_code == 200:
            assert schemas.allows(body_schema, body), body
            assert schemas.allows(answer_schema, response.json())
        else:
            assert 400 <= response.status_code < 500, (body, response.text)
            assert is_told(response)

    check()


@settings(SETTINGS, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from(OPERATIONS))
def test_bytes_that_are_no_request_are_refused_in_a_sentence(client, body, operation):
    response = client.post(f"/v1/models/prices/{operation}", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert is_told(response)


@settings(SETTINGS, max_examples=100)
@given(st.data())
def test_json_with_bytes_changed_never_makes_the_service_stumble(client, document, data):
    body_schema, _ = schemas_of(document, "prices", "log_prob")
    text = bytearray(json.dumps(fitting(data.draw(Schemas(document).values(body_schema)), "log_prob")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    response = client.post("/v1/models/prices/log_prob", content=bytes(text), headers=JSON)
    assert response.status_code in (200, 400, 422)
    assert response.status_code == 200 or is_told(response)


@settings(SETTINGS, max_examples=60)
@given(st.data())
def test_numbers_as_large_as_the_document_allows_never_make_the_service_stumble(client, document, data):
    name, operation = data.draw(st.sampled_from(MODELS)), data.draw(st.sampled_from(OPERATIONS))
    body_schema, _ = schemas_of(document, name, operation)
    body = fitting(data.draw(Schemas(document).values(body_schema)), operation)
    for row in body["rows"]:
        row["size"] = data.draw(st.sampled_from([1e150, -1e150, 1e100, 1e-320, -0.0]))
    response = client.post(f"/v1/models/{name}/{operation}", content=json.dumps(body), headers=JSON)
    assert response.status_code in (200, 422), response.text


def test_the_document_lists_every_address_of_every_model(document, models):
    assert document["openapi"] == "3.1.0"
    own = {f"/v1/models/{name}" for name in models}
    asked = {f"{path}/{operation}" for path in own for operation in OPERATIONS}
    others = {"/health/live", "/health/ready", "/openapi.json", "/v1/models"}
    assert set(document["paths"]) == own | asked | others


def test_the_document_describes_features_as_the_fit_had_them(document):
    schemas = Schemas(document)
    body_schema, _ = schemas_of(document, "prices", "predict")
    row = schemas.resolved(body_schema["properties"]["rows"]["items"])
    assert row["required"] == ["size", "age", "garden", "town", "zip", "sold", "country"]
    assert row["properties"]["town"]["anyOf"][0]["enum"] == ["a", "b", "c"]
    assert row["properties"]["zip"]["anyOf"][0]["enum"] == [10.0, 20.0, 30.0]
    assert {"type": "null"} in row["properties"]["age"]["anyOf"]
    assert row["properties"]["sold"]["format"] == "local-date-time"
    gaps, _ = schemas_of(document, "gaps", "predict")
    assert schemas.resolved(gaps["properties"]["rows"]["items"])["properties"]["sold"]["format"] == "date-time"
