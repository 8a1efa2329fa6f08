import importlib.util
import subprocess
import sys

import pytest

from manymodes import _checks
from manymodes.studies import STUDIES
from manymodes.studies.catalogue import entry


def test_an_unknown_study_is_refused_with_the_nearest_name():
    with pytest.raises(_checks.InputError) as refusal:
        entry("geysir")
    assert str(refusal.value) == "there is no study 'geysir'; the nearest is 'geyser'."


def test_a_name_like_none_is_refused_with_all_of_them():
    with pytest.raises(_checks.InputError, match=r"^there is no study 'qqq'; there are 'sinusoid', .*'dynamics'\.$"):
        entry("qqq")


def test_every_study_has_a_module_of_its_name():
    assert all(importlib.util.find_spec(each.module) for each in STUDIES.values())


def test_the_names_of_studies_are_known_without_torch():
    code = "import sys; from manymodes.studies import STUDIES; assert STUDIES; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
