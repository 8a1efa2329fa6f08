import os
import subprocess
import sys
from pathlib import Path

import pytest

import manymodes


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_neither_torch_nor_scikit_learn():
    assert not _modules_after("import manymodes") & {"torch", "sklearn", "numpy"}


def test_the_command_lines_help_loads_neither_torch_nor_scikit_learn():
    statement = "from manymodes.apps.cli import main\nmain(['--help'])"
    assert not _modules_after(statement) & {"torch", "sklearn", "numpy"}


def test_every_public_name_can_be_fetched_and_is_listed():
    assert len(manymodes.__all__) <= 20
    for name in manymodes.__all__:
        assert getattr(manymodes, name) is not None
        assert name in dir(manymodes)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'manymodes' has no attribute 'nonsense'$"):
        manymodes.nonsense  # noqa: B018


def test_importing_everything_changes_no_global_state():
    statement = (
        "import torch, numpy, random, warnings\n"
        "def state(): return (torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed(),\n"
        "  torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist(), random.getstate(),\n"
        "  len(warnings.filters), torch.is_grad_enabled())\n"
        "import sklearn.base, narwhals.stable.v2, safetensors.torch\n"  # they add warning filters of their own
        "before = state()\n"
        "import manymodes\n"
        "[getattr(manymodes, name) for name in manymodes.__all__]\n"
        "assert state() == before"
    )
    _modules_after(statement)


def test_absent_shared_data_fail_a_run_that_demands_them(tmp_path):
    test = Path(__file__).parent / "datasets" / "test_datasets.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(test), "-k", "geyser"]
    for demanded, code in (("0", 0), ("1", 1)):
        env = os.environ | {"MANYMODES_DATA": str(tmp_path), "MANYMODES_REQUIRE_DATA": demanded}
        assert subprocess.run(command, capture_output=True, env=env).returncode == code
