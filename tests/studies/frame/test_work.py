import numpy as np
import pytest

from manymodes.studies.frame.work import Work


def counted(value=1.0):
    calls = []

    def compute():
        calls.append(1)
        return {"score": value, "word": "yes", "several": [1, 2], "array": np.arange(3.0)}

    return compute, calls


def test_a_step_is_computed_once_and_then_read(tmp_path):
    compute, calls = counted()
    first = Work("x", folder=tmp_path).step("one thing", compute)
    second = Work("x", folder=tmp_path).step("one thing", compute)
    assert len(calls) == 1
    assert list(first) == list(second)
    assert {name: value for name, value in second.items() if name != "array"} == {
        "score": 1.0,
        "word": "yes",
        "several": [1, 2],
    }
    np.testing.assert_array_equal(second["array"], np.arange(3.0))


@pytest.mark.parametrize("other", [{"quick": True}, {"random_state": 1}])
def test_a_step_of_other_settings_is_not_taken(tmp_path, other):
    compute, calls = counted()
    Work("x", folder=tmp_path).step("one thing", compute)
    Work("x", folder=tmp_path, **other).step("one thing", compute)
    assert len(calls) == 2


def test_a_damaged_step_is_computed_again(tmp_path):
    compute, calls = counted()
    Work("x", folder=tmp_path).step("one thing", compute)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    Work("x", folder=tmp_path).step("one thing", compute)
    assert len(calls) == 2


def test_a_step_that_fails_leaves_nothing_behind(tmp_path):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Work("x", folder=tmp_path).step("one thing", fail)
    assert not list(tmp_path.iterdir())


def test_what_was_measured_is_remembered_without_arrays():
    work = Work("x")
    work.step("one thing", counted()[0])
    assert work.measured == {"one thing": {"score": 1.0, "word": "yes", "several": [1, 2]}}


def test_every_step_is_told(tmp_path):
    lines = []
    for _ in range(2):
        Work("x", folder=tmp_path, tell=lines.append).step("one thing", counted()[0])
    assert lines[0].startswith("x: one thing (")
    assert lines[1] == "x: one thing (done before)"


def test_time_that_was_spent_before_an_interruption_counts(tmp_path):
    Work("x", folder=tmp_path).step("one thing", counted()[0])
    again = Work("x", folder=tmp_path)
    assert again.seconds_before == 0.0
    again.step("one thing", counted()[0])
    assert again.seconds_before > 0.0


def test_a_quick_look_has_fewer_repetitions():
    assert list(Work("x", random_state=3).seeds(2)) == [3, 4]
    assert list(Work("x", quick=True).seeds(5)) == [0]
    assert Work("x", quick=True).pick("all", "few") == "few"
