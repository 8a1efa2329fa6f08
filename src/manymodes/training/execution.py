"""How a fit uses its machine: precision, compilation and threads, by rules that look at sizes and never at a clock.

What the rules give goes into a checkpoint with everything else: a fit that goes on takes the same steps.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from manymodes import _checks, objectives
from manymodes.distributions import DiagonalNormal, Laplace, Logistic, SphericalNormal, StudentT
from manymodes.distributions.blueprints import FamilyBlueprint
from manymodes.nn import Members, MixtureDensityNetwork, Retrieval
from manymodes.objectives import Objective

_WIDE = 128  # rows and columns from which on a matrix is multiplied much faster in bfloat16
_REPAYS = 90.0  # seconds of steps that are not compiled; compiling them takes some 30 and halves them
_STEP_SECONDS, _SECONDS_PER_GFLOP = 4e-3, 20e-3  # of such a step, on one core
_COMPILES = (2, 13)  # version of torch from which on gradients within a compiled function are known to be right
_GFLOP_PER_THREAD = 0.1  # of a step; a thread with less to do costs more than it brings
_TRACED = (  # homes of modules that the compiler is known to take
    "manymodes.nn.",
    "torch.nn.modules.activation",
    "torch.nn.modules.container",
    "torch.nn.modules.linear",
    "torch.nn.modules.normalization",
)
_NOT_TRACED = (Members, Retrieval)
_TRACED_FAMILIES = (DiagonalNormal, SphericalNormal, Laplace, Logistic, StudentT)
_TRACED_OBJECTIVES = {"nll", "crps", "ngem"}

PRECISIONS: Mapping[str, Callable[[MixtureDensityNetwork], str]] = {
    "full": lambda network: "full",
    "tf32": lambda network: "tf32",
    "bfloat16": lambda network: "bfloat16",
    "auto": lambda network: "bfloat16" if _is_native(network.device) and _is_wide(network) else "full",
}


@dataclass(frozen=True)
class Work:
    """How much a fit has to do.

    Attributes:
        n_rows: Rows of a batch, of each member.
        n_steps: Steps of the fit.
        has_time_limit: Whether it may end before.
    """

    n_rows: int
    n_steps: int
    has_time_limit: bool

    def gflop(self, network: MixtureDensityNetwork) -> float:
        """Return the arithmetic of a step, 1e9 operations: two for each weight and row forward, and twice that back."""
        return 6e-9 * self.n_rows * sum(math.prod(sides) for sides in _matrices(network))


@dataclass(frozen=True)
class Execution:
    """The means of a fit.

    Attributes:
        precision: Of matrix products while training: ``"full"``, ``"tf32"`` or ``"bfloat16"``.
        compiled: Whether steps are compiled.
        n_threads: Threads of a CPU.
    """

    precision: str
    compiled: bool
    n_threads: int

    @classmethod
    def chosen(
        cls, network: MixtureDensityNetwork, objective: Objective, work: Work, *, precision: str, compiles: bool | str
    ) -> Execution:
        """Return the means for a fit.

        Compiled automatically are steps on a CPU of networks, families and objectives of this package, where that is
        possible and the fit repays it: where its steps would take more than 90 seconds otherwise, at 4 ms each and
        20 ms for every 1e9 operations, and no time limit may cut it short. One thread works for every 1e8 operations
        of a step, as far as torch has threads.

        Args:
            network: What is fitted.
            objective: What is minimised.
            work: How much there is to do.
            precision: Name in ``PRECISIONS``; ``"auto"`` takes bfloat16 on devices that have instructions for it where
                most weights are in matrices of at least 128 rows and columns.
            compiles: Whether to compile the steps, or ``"auto"``.

        Raises:
            ValueError: Another name.
        """
        asked = _checks.one_of("precision", precision, PRECISIONS)(network)
        if compiles not in (True, False, "auto"):
            raise _checks.InputError(f"compile must be True, False or 'auto'; got {compiles!r}.")
        gflop = work.gflop(network)
        repays = _repays(work, gflop) and network.device.type == "cpu" and not _obstacle(network.device)
        compiled = compiles is True or (compiles == "auto" and repays and is_traced(network, objective))
        n_threads = max(1, min(torch.get_num_threads(), int(gflop / _GFLOP_PER_THREAD)))
        return cls(asked, compiled, n_threads)

    def refuse_impossible(self, device: torch.device) -> None:
        """Refuse to compile where that cannot be done.

        Raises:
            ValueError: A torch that is too old, or no C++ compiler.
        """
        if self.compiled and (obstacle := _obstacle(device)):
            raise _checks.InputError(f"compile must be False here, since {obstacle}.")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Work with so many threads, and give back those that there were."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def products(network: MixtureDensityNetwork, precision: str) -> AbstractContextManager[None]:
    """Return a context in which matrix products have a precision; one of double precision is left alone."""
    if precision == "tf32":
        return _tf32()
    enabled = precision == "bfloat16" and network.dtype == torch.float32
    return torch.autocast(network.device.type, torch.bfloat16, enabled=enabled)


def is_traced(network: MixtureDensityNetwork, objective: Objective) -> bool:
    """Return whether all of a step is known to compile: modules, family and objective."""
    modules = list(network.modules())
    known = all(type(module).__module__.startswith(_TRACED) for module in modules)
    known = known and not any(isinstance(module, _NOT_TRACED) for module in modules)
    family = network.head.family
    plain = isinstance(family, FamilyBlueprint) and family.family in _TRACED_FAMILIES
    names = objectives.parts_of(objective)
    return known and plain and bool(names) and names <= _TRACED_OBJECTIVES


def _repays(work: Work, gflop: float) -> bool:
    seconds = work.n_steps * (_STEP_SECONDS + _SECONDS_PER_GFLOP * gflop)
    return seconds > _REPAYS and not work.has_time_limit


def _obstacle(device: torch.device) -> str | None:
    """Return what stands in the way of compiling; None where nothing does."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _COMPILES:
        return f"torch is {torch.__version__}, and {_COMPILES[0]}.{_COMPILES[1]} is needed to trace gradients"
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler!r}; install one or name it in the variable CXX"
    return None


def _matrices(network: MixtureDensityNetwork) -> Iterator[tuple[int, int, int]]:
    """Yield members, rows and columns of every matrix of weights."""
    leading = 0 if network.n_members is None else 1
    for parameter in network.parameters():
        if parameter.dim() >= leading + 2:
            sides = parameter.shape[leading:]
            yield network.n_members or 1, int(sides[0]), int(sides[1:].numel())


def _is_wide(network: MixtureDensityNetwork) -> bool:
    sizes = [(math.prod(sides), min(sides[1:])) for sides in _matrices(network)]
    return 2 * sum(size for size, side in sizes if side >= _WIDE) > sum(size for size, _ in sizes)


def _is_native(device: torch.device) -> bool:
    if device.type == "cpu":
        known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
