"""How a fit uses its machine: precision, compilation and threads, by rules that look at sizes and never at a clock.

Steps are compiled automatically on a CPU, for networks, families and objectives of this package, where the fit repays
it. Threads are as many as a step has work for; only of networks of this package is it known how much that is. What the
rules give goes into a checkpoint with everything else: a fit that goes on takes the same steps.
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
from torch import nn

from manymodes import _checks, objectives
from manymodes.distributions import DiagonalNormal, Laplace, Logistic, Normal, SphericalNormal, StudentT
from manymodes.distributions.blueprints import FamilyBlueprint
from manymodes.nn import Members, MixtureDensityNetwork, Retrieval
from manymodes.objectives import Objective

_WIDE = 128  # rows and columns from which on a matrix is multiplied much faster in bfloat16
_REPAYS = 90.0  # seconds of steps that are not compiled: to compile them, with dropout and without, takes 30
_STEP_SECONDS, _SECONDS_PER_GFLOP = 4e-3, 20e-3  # of such a step, on one core
_COMPILES = (2, 13)  # version of torch from which on gradients within a compiled function are known to be right
_GFLOP_PER_THREAD = 0.1  # of a step; a thread with less to do costs more than it brings
_PLAIN = (  # homes of modules whose work is known, and that the compiler takes
    "manymodes.nn.",
    "torch.nn.modules.activation",
    "torch.nn.modules.container",
    "torch.nn.modules.linear",
    "torch.nn.modules.normalization",
)
_NOT_PLAIN = (Members, Retrieval)
_TRACED_FAMILIES = (DiagonalNormal, SphericalNormal, Laplace, Logistic, StudentT)
_TRACED_OBJECTIVES = {"nll", "crps", "ngem"}

PRECISIONS: Mapping[str, Callable[[MixtureDensityNetwork], str]] = {
    "full": lambda network: "full",
    "tf32": lambda network: "tf32",
    "bfloat16": lambda network: "bfloat16",
    "auto": lambda network: "bfloat16" if _gains(network) else "full",
}


@dataclass(frozen=True)
class Work:
    """How much a fit has to do.

    Attributes:
        n_rows: Rows of a batch, of each member.
        n_steps: Steps of the fit.
        has_time_limit: Whether it may end before.
        is_exact: Whether all targets are known.
    """

    n_rows: int
    n_steps: int
    has_time_limit: bool = False
    is_exact: bool = True

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

    precision: str = "full"
    compiled: bool = False
    n_threads: int = 1

    @classmethod
    def chosen(
        cls, network: MixtureDensityNetwork, objective: Objective, work: Work, *, precision: str, compiled: bool | str
    ) -> Execution:
        """Return the means for a fit, by the rules of this module.

        Args:
            network: What is fitted.
            objective: What is minimised.
            work: How much there is to do.
            precision: Name in ``PRECISIONS``; ``"auto"`` takes bfloat16 on devices that have instructions for it, for
                plain networks most weights of which are in matrices of at least 128 rows and columns.
            compiled: Whether to compile the steps, or ``"auto"``.

        Raises:
            ValueError: Another name, or what cannot be done here.
        """
        asked = _checks.one_of("precision", precision, PRECISIONS)(network)
        if asked == "tf32" and network.device.type != "cuda":
            raise _checks.InputError(f"precision must be 'full' or 'bfloat16' on a {network.device.type}; got 'tf32'.")
        return cls(asked, _is_compiled(network, objective, work, compiled), _threads(network, work))

    def refuse_elsewhere(self, device: torch.device) -> None:
        """Refuse a device where a fit that had these means cannot go on.

        Raises:
            ValueError: A torch that is too old, or no C++ compiler.
        """
        if self.compiled and (obstacle := _obstacle(device)):
            raise _checks.InputError(
                f"checkpoint must be of a fit that can go on here; its steps were compiled, and {obstacle}, or name "
                "another folder."
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Work with so many threads, and give back those that there were."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def forward(self, network: MixtureDensityNetwork) -> AbstractContextManager[None]:
        """Return a context for the way forward, whose products the way back takes after; double precision stays."""
        enabled = self.precision == "bfloat16" and network.dtype == torch.float32
        return torch.autocast(network.device.type, torch.bfloat16, enabled=enabled)

    @contextmanager
    def both_ways(self) -> Iterator[None]:
        """Multiply in TF32, forward and back, where that is the precision: a switch of torch's, which is put back."""
        if self.precision != "tf32":
            yield
            return
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        try:
            yield
        finally:
            torch.backends.cuda.matmul.fp32_precision = before


PLAIN = Execution()


def is_known(network: MixtureDensityNetwork) -> bool:
    """Return whether all modules are plain ones, each weight of which meets every row once."""
    modules = list(network.modules())
    plain = all(type(module).__module__.startswith(_PLAIN) and not _has_hooks(module) for module in modules)
    return plain and not any(isinstance(module, _NOT_PLAIN) for module in modules)


def is_traced(network: MixtureDensityNetwork, objective: Objective) -> bool:
    """Return whether all of a step is known to compile where targets are exact: modules, family and objective."""
    family, names = network.head.family, objectives.parts_of(objective)
    plain = isinstance(family, FamilyBlueprint) and family.family in _TRACED_FAMILIES
    return is_known(network) and plain and bool(names) and names <= _TRACED_OBJECTIVES and not _refines(network, names)


def _refines(network: MixtureDensityNetwork, names: frozenset[str]) -> bool:
    """Return whether an objective looks at numbers to refine an integral, which no compiled step can."""
    family = network.head.family
    return "crps" in names and not (isinstance(family, FamilyBlueprint) and issubclass(family.family, Normal))


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _is_compiled(network: MixtureDensityNetwork, objective: Objective, work: Work, asked: bool | str) -> bool:
    obstacle = _obstacle(network.device)
    if isinstance(asked, str) and asked == "auto":
        can_be = is_traced(network, objective) and work.is_exact and network.device.type == "cpu" and not obstacle
        seconds = work.n_steps * (_STEP_SECONDS + _SECONDS_PER_GFLOP * work.gflop(network))
        return can_be and not work.has_time_limit and seconds > _REPAYS
    if not isinstance(asked, bool):
        raise _checks.InputError(f"compile must be True, False or 'auto'; got {asked!r}.")
    if asked and _refines(network, objectives.parts_of(objective)):
        raise _checks.InputError("compile must be False with 'crps', unless components are normal.")
    if asked and obstacle:
        raise _checks.InputError(f"compile must be False here, since {obstacle}.")
    return asked


def _threads(network: MixtureDensityNetwork, work: Work) -> int:
    """Return as many threads as a step has work for; all where it is not known how much that is."""
    most = torch.get_num_threads()
    return max(1, min(most, int(work.gflop(network) / _GFLOP_PER_THREAD))) if is_known(network) else most


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


def _gains(network: MixtureDensityNetwork) -> bool:
    """Return whether bfloat16 makes a network faster: a plain one, most weights of which are in wide matrices."""
    if not (is_native(network.device) and is_known(network)):
        return False
    sizes = [(math.prod(sides), min(sides[1:])) for sides in _matrices(network)]
    return 2 * sum(size for size, side in sizes if side >= _WIDE) > sum(size for size, _ in sizes)


def is_native(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16."""
    if device.type == "cpu":
        known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
