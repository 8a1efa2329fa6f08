"""Data with known answers: simulators whose density is exact; real data from the package, a folder or the network.

Simulators are named ``make_*`` and return arrays; with ``return_density=True`` also the true conditional density, a
function of inputs that returns a ``Mixture``, so that whatever takes a prediction takes the truth. As that needs torch,
they are fetched when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from manymodes.datasets.geyser import load_geyser
from manymodes.datasets.mnist import Mnist, fetch_mnist
from manymodes.datasets.sources import TABLES
from manymodes.datasets.tables import Table, load_table

if TYPE_CHECKING:
    from manymodes.datasets.double_well import DoubleWell, make_double_well, make_double_well_paths
    from manymodes.datasets.gaussian_mixture import make_gaussian_mixture
    from manymodes.datasets.one_answer import make_econ, make_linear_gaussian, make_linear_student_t, make_skew_normal
    from manymodes.datasets.paths import make_arma_jump, make_jump_diffusion
    from manymodes.datasets.ring import make_ring
    from manymodes.datasets.robot_arm import (
        make_robot_arm,
        robot_arm_joints,
        robot_arm_position,
        robot_arm_ranges,
        robot_arm_solutions,
    )
    from manymodes.datasets.sinusoids import make_inverse_sinusoid, make_sinusoid, make_toy_inverse, make_two_sinusoids
    from manymodes.datasets.slipping_cart import SlippingCart, make_slipping_cart
    from manymodes.datasets.systems import System
    from manymodes.datasets.truth import Truth

_HOMES = {
    "DoubleWell": "double_well",
    "SlippingCart": "slipping_cart",
    "System": "systems",
    "Truth": "truth",
    "make_arma_jump": "paths",
    "make_double_well": "double_well",
    "make_double_well_paths": "double_well",
    "make_econ": "one_answer",
    "make_gaussian_mixture": "gaussian_mixture",
    "make_inverse_sinusoid": "sinusoids",
    "make_jump_diffusion": "paths",
    "make_linear_gaussian": "one_answer",
    "make_linear_student_t": "one_answer",
    "make_ring": "ring",
    "make_robot_arm": "robot_arm",
    "make_sinusoid": "sinusoids",
    "make_skew_normal": "one_answer",
    "make_slipping_cart": "slipping_cart",
    "make_toy_inverse": "sinusoids",
    "make_two_sinusoids": "sinusoids",
    "robot_arm_joints": "robot_arm",
    "robot_arm_position": "robot_arm",
    "robot_arm_ranges": "robot_arm",
    "robot_arm_solutions": "robot_arm",
}

__all__ = [
    "TABLES",
    "DoubleWell",
    "Mnist",
    "SlippingCart",
    "System",
    "Table",
    "Truth",
    "fetch_mnist",
    "load_geyser",
    "load_table",
    "make_arma_jump",
    "make_double_well",
    "make_double_well_paths",
    "make_econ",
    "make_gaussian_mixture",
    "make_inverse_sinusoid",
    "make_jump_diffusion",
    "make_linear_gaussian",
    "make_linear_student_t",
    "make_ring",
    "make_robot_arm",
    "make_sinusoid",
    "make_skew_normal",
    "make_slipping_cart",
    "make_toy_inverse",
    "make_two_sinusoids",
    "robot_arm_joints",
    "robot_arm_position",
    "robot_arm_ranges",
    "robot_arm_solutions",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"manymodes.datasets.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'manymodes.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
