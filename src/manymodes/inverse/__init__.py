"""Inverse problems: solutions for a wanted outcome, proposed by a density and checked by the forward function.

A model of p(y | x), learned from pairs of a solution y and its outcome x, proposes; ``solve`` asks the forward function
what becomes of each proposal, improves it where it can, and ranks what is left. ``success_at`` and ``error_by_count``
tell how many proposals are needed, ``solution_agreement`` whether all known solutions are among them.
"""

from manymodes.inverse.candidates import Candidates, error_by_count, solution_agreement, success_at
from manymodes.inverse.search import solve

__all__ = ["Candidates", "error_by_count", "solution_agreement", "solve", "success_at"]
