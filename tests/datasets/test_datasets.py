import subprocess
import sys

import numpy as np

from manymodes import datasets
from manymodes.datasets import load_geyser


def test_the_geyser_is_that_of_the_source_without_coded_nights(shared_table):
    table = shared_table("geyser")
    waiting, duration = table["waiting_min"], table["duration_min"]
    measured = ~np.isin(duration, [2, 3, 4])
    X, y = load_geyser()
    np.testing.assert_array_equal(X[:, 0], waiting[measured])
    np.testing.assert_allclose(y, duration[measured], atol=1e-4)
    assert X.shape == (221, 1)


def test_real_data_need_no_torch():
    code = "import manymodes.datasets as d, sys\nd.load_geyser()\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_fetched_and_is_listed():
    for name in datasets.__all__:
        assert getattr(datasets, name) is not None
        assert name in dir(datasets)
