"""Whatever a request gets wrong is told in one sentence of JSON, with the status that goes with it."""

import json

import pytest

from .rows import json_rows

JSON = {"content-type": "application/json"}
PATH = "/v1/models/prices/predict"


@pytest.fixture
def row(models):
    return json_rows([feature.name for feature in models["prices"].features], 1)[0]


def refused(response, status):
    """The sentence of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    return response.json()["error"]


# --- bodies that are no JSON ---


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body must be JSON; expecting value at line 1, column 1."),
        (b'{"rows": [', "the body must be JSON; expecting value at line 1, column 11."),
        (b'{"rows": [1,]}', "the body must be JSON; expecting value at line 1, column 13."),
        (b"{} {}", "the body must be JSON; extra data at line 1, column 4."),
        (b'{"rows": "\xff"}', "the body must be UTF-8; got something else at byte 10."),
        ('{"rows": []}'.encode("utf-16"), "the body must be UTF-8; got something else at byte 0."),
        (b'{"rows": NaN}', "the body must hold finite numbers; got NaN. Where nothing is known, write null."),
        (
            b'{"rows": -Infinity}',
            "the body must hold finite numbers; got -Infinity. Where nothing is known, write null.",
        ),
        (b'{"rows": 1e999}', "the body must hold numbers within ±1e+150; got 1e999."),
        (b'{"rows": ' + b"1" * 5000 + b"}", "the body must hold numbers of at most 4300 digits; got a longer one."),
        (
            b'{"rows": [], "rows": []}',
            'the body must hold every key of an object once; got "rows" more than once.',
        ),
        (b"[" * 9000, "the body must be JSON of a few levels; got one that nests too deeply."),
        (b'{"a":' * 3000, "the body must be JSON of a few levels; got one that nests too deeply."),
    ],
)
def test_a_body_that_is_no_json_is_refused(client, body, sentence):
    assert refused(client.post(PATH, content=body, headers=JSON), 400) == sentence


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"content-type": "text/plain"}, 'content-type must be application/json; got "text/plain".'),
        ({}, "content-type must be application/json; got none."),
        ({"content-type": "application/json; charset=latin-1"}, 'the body must be UTF-8; got "charset=latin-1".'),
        (
            {**JSON, "content-encoding": "gzip"},
            'the body must not be compressed; got content-encoding "gzip".',
        ),
    ],
)
def test_a_body_of_another_kind_is_refused(client, headers, sentence):
    assert refused(client.post(PATH, content=b"{}", headers=headers), 415) == sentence


def test_json_may_name_its_charset(client, row):
    headers = {"content-type": 'Application/JSON; charset="UTF-8"'}
    body = json.dumps({"rows": [row]})
    assert client.post(PATH, content=body, headers=headers).status_code == 200


def test_a_body_over_the_limit_is_refused(client):
    sentence = "a body must have at most 20000 bytes; got {}. Send the rows in several requests."
    assert refused(client.post(PATH, content=b" " * 20_001, headers=JSON), 413) == sentence.format(20001)

    async def chunks():
        for _ in range(3):
            yield b" " * 10_000

    assert refused(client.post(PATH, content=chunks(), headers=JSON), 413) == sentence.format("more")


def test_more_rows_than_the_limit_are_refused(client):
    response = client.post(PATH, json={"rows": [{}] * 41})
    assert refused(response, 413) == "rows must be at most 40; got 41. Send them in several requests."


# --- addresses ---


def test_an_address_that_is_not_there_is_refused(client):
    sentence = 'there is nothing at "/v1/nothing"; see /openapi.json.'
    assert refused(client.get("/v1/nothing"), 404) == sentence
    names = "'angles', 'corrected', 'counts', 'gaps', 'prices', 'two', 'zeros'"
    for response in (client.get("/v1/models/price"), client.post("/v1/models/price/predict", json={})):
        assert refused(response, 404) == f'the address must name one of {names}; got "price".'
    operations = "'predict', 'quantiles', 'log_prob', 'region', 'modes', 'sample', 'probability'"
    response = client.post("/v1/models/prices/guess", json={})
    assert refused(response, 404) == f'the address must end with one of {operations}; got "guess".'


def test_another_method_is_refused_with_those_that_are_taken(client):
    response = client.get(PATH)
    assert refused(response, 405) == f'"{PATH}" takes POST; got "GET".'
    assert response.headers["allow"] == "POST"
    assert refused(client.post("/health/live"), 405) == '"/health/live" takes GET, HEAD; got "POST".'


# --- rows ---


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], 'the body must be an object with "rows"; got a list.'),
        ("null", 'the body must be an object with "rows"; got "null".'),
        ({}, "rows must be a list of at least one object of features; got none."),
        ({"rows": []}, "rows must be a list of at least one object of features; got an empty list."),
        ({"rows": {}}, "rows must be a list of at least one object of features; got an object."),
        ({"rows": "x" * 99}, 'rows must be a list of at least one object of features; got "' + "x" * 36 + "...."),
        ({"rows": [3]}, "row 1 must be an object of features by name; got 3."),
        ({"rows": [{}]}, "row 1 must hold every feature, 'size' first; got none."),
        ({"rows": [{}], "point": 1, "pont": 2}, "the body may hold 'rows', 'point' only; got \"pont\"."),
    ],
)
def test_a_body_of_another_shape_is_refused(client, body, sentence):
    assert refused(client.post(PATH, json=body), 422) == sentence


def test_a_row_without_a_feature_is_refused_with_the_nearest_name(client, row):
    other = row | {"sise": row["size"]}
    del other["size"]
    response = client.post(PATH, json={"rows": [row, other]})
    assert refused(response, 422) == "row 2 has no column 'size'; the nearest is 'sise'."


NUMBER, TIME = "a number within ±1e+150", "a point in time, say '2024-05-31T17:00:00'"


@pytest.mark.parametrize(
    ("feature", "value", "rule", "got"),
    [
        ("size", "3", NUMBER, '"3"'),
        ("size", None, NUMBER, "null"),
        ("size", [1], NUMBER, "a list"),
        ("size", 1e200, NUMBER, "1e+200"),
        ("size", -(10**4000), NUMBER, "-100000000000000000000000000000000000..."),
        ("age", "", NUMBER + ", or null", '""'),
        ("town", 3, "text, or null", "3"),
        ("town", True, "text, or null", "true"),
        ("zip", "10", NUMBER, '"10"'),
        ("sold", "yesterday", TIME, '"yesterday"'),
        ("sold", "2024-02-30", TIME, '"2024-02-30"'),
        ("sold", "2024-02-03T10:00:00Z", TIME, '"2024-02-03T10:00:00Z"'),
        ("sold", "20240203", TIME, '"20240203"'),
        ("sold", "٢٠٢٤-02-03", TIME, '"\\u0662\\u0660\\u0662\\u0664-02-03"'),
        ("sold", 1700000000, TIME, "1700000000"),
        ("country", {}, "a number, text, true, false or null", "an object"),
    ],
)
def test_a_value_of_another_kind_is_refused(client, row, feature, value, rule, got):
    response = client.post(PATH, json={"rows": [row, row | {feature: value}]})
    assert refused(response, 422) == f"feature '{feature}' must be {rule}; got {got} in row 2."


@pytest.mark.parametrize("time", ["2024-03-01T12:00:00", "0001-01-01T00:00:00+10:00", "2024-03-01T12:00:00+99:00"])
def test_a_time_that_is_no_moment_is_refused_where_the_fit_had_a_zone(client, time):
    rule = "a point in time, with its UTC offset, say '2024-05-31T17:00:00Z'"
    response = client.post("/v1/models/gaps/predict", json={"rows": [{"sold": time, "size": 1}]})
    assert refused(response, 422) == f"feature 'sold' must be {rule}; got \"{time}\" in row 1."


def test_text_that_is_no_unicode_is_taken_as_a_category_that_the_fit_did_not_have(client, row):
    body = json.dumps({"rows": [row | {"town": "\ud800"}]})
    assert client.post(PATH, content=body, headers=JSON).status_code == 200
    body = json.dumps({"rows": [row | {"size": "\ud800"}]})
    assert refused(client.post(PATH, content=body, headers=JSON), 422).endswith('got "\\ud800" in row 1.')


# --- options ---


@pytest.mark.parametrize(
    ("operation", "options", "sentence"),
    [
        ("predict", {"point": "mid"}, "point must be one of 'mean', 'median', 'mode', 'medoid'; got \"mid\"."),
        ("predict", {"point": None}, "point must be one of 'mean', 'median', 'mode', 'medoid'; got null."),
        ("quantiles", {"levels": []}, "levels must hold 1 to 1000 levels; got 0."),
        ("quantiles", {"levels": 1.5}, "every level must be a number >= 0 and <= 1; got 1.5."),
        ("quantiles", {"levels": True}, "every level must be a number >= 0 and <= 1; got True."),
        ("quantiles", {"levels": ["0.5"]}, 'every level must be a number from 0 to 1; got "0.5".'),
        ("region", {"level": 1}, "level must be a number > 0 and < 1; got 1."),
        ("region", {"level": None}, "level must be a number from 0 to 1; got null."),
        ("region", {"target": "cost"}, "target must be one of 'price'; got \"cost\"."),
        ("modes", {"level": 0.9}, "the body may hold 'rows' only; got \"level\"."),
        ("sample", {"n_samples": 0}, "n_samples must be an integer >= 1; got 0."),
        ("sample", {"n_samples": 2.5}, "n_samples must be a whole number; got 2.5."),
        ("sample", {"n_samples": "7"}, 'n_samples must be a whole number; got "7".'),
        (
            "sample",
            {"n_samples": 200_001},
            "n_samples must be such that an answer has at most 200000 numbers; got 200001 times 1 of them. Ask for "
            "fewer, or with fewer rows.",
        ),
        ("sample", {"random_state": -1}, "random_state must be an integer from 0 to 4294967295; got -1."),
        ("probability", {"low": 3, "high": 2}, "low must be <= high; got 3 and 2 in row 1."),
        ("probability", {"low": "3"}, 'low must be a number within ±1e+150, or null for no end; got "3".'),
        ("probability", {"low": [1, 2]}, "rows and low must have the same number of rows; got 1 and 2."),
        ("probability", {"high": {"cost": 2}}, "high must name targets, 'price'; got \"cost\"."),
        ("probability", {}, "low or high must be given; got neither."),
        ("log_prob", {}, "targets must be a list of one object for each row; got null."),
        ("log_prob", {"targets": []}, "rows and targets must have the same number of rows; got 1 and 0."),
        ("log_prob", {"targets": [3]}, "targets of row 1 must be an object of targets by name; got 3."),
        ("log_prob", {"targets": [{}]}, "targets of row 1 must hold 'price', a number within ±1e+150; got none."),
        (
            "log_prob",
            {"targets": [{"price": None}]},
            "targets of row 1 must hold 'price', a number within ±1e+150; got null.",
        ),
    ],
)
def test_an_option_out_of_range_is_refused(client, row, operation, options, sentence):
    response = client.post(f"/v1/models/prices/{operation}", json={"rows": [row], **options})
    assert refused(response, 422) == sentence


def test_several_targets_must_be_told_apart(client):
    rows = [{"size": 100, "zip": 10}]
    response = client.post("/v1/models/two/region", json={"rows": rows})
    assert refused(response, 422) == "target must name one of 'price', 'rent'; got none."
    response = client.post("/v1/models/two/probability", json={"rows": rows, "low": 3})
    assert refused(response, 422) == "low must be an object of ends by target, since there are 2; got 3."


def test_a_target_that_cannot_be_has_no_log_density(client):
    body = {"rows": [{"size": 100, "zip": 10}] * 2, "targets": [{"bikes": 1.5}, {"bikes": 2}]}
    first, second = client.post("/v1/models/counts/log_prob", json=body).json()["log_prob"]
    assert first is None
    assert second < 0


# --- what there is ---


def test_health_is_told(client):
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json()["status"] == "ready"


def test_models_are_listed_and_described(client, models):
    listed = client.get("/v1/models").json()["models"]
    assert [model["name"] for model in listed] == sorted(models)
    assert listed[-2] == {"name": "two", "targets": ["price", "rent"]}
    described = client.get("/v1/models/prices").json()
    kinds = {feature["name"]: feature["kind"] for feature in described["features"]}
    assert kinds == {
        "size": "number",
        "age": "number",
        "garden": "number",
        "town": "category",
        "zip": "category",
        "sold": "time",
        "country": "unused",
    }
    assert any("country" in note for note in described["feature_notes"])
    assert client.get("/v1/models/corrected").json()["is_recalibrated"]
