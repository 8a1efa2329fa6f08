"""Systems under control: learn what may come next, let particles go there, and plan for all of it, not for the mean.

``TransitionModel`` learns p(next state | state, action) from logged transitions. ``rollout`` lets particles follow a
sequence of actions. ``CrossEntropyPlanner`` looks for the sequence whose returns are best on average, or in their worst
cases, and ``run_episodes`` lets it act on a system.
"""

from manymodes.dynamics.episodes import Episodes, run_episodes
from manymodes.dynamics.planning import CrossEntropyPlanner, Plan
from manymodes.dynamics.returns import OBJECTIVES
from manymodes.dynamics.rollouts import Dynamics, rollout
from manymodes.dynamics.transitions import TransitionModel

__all__ = [
    "OBJECTIVES",
    "CrossEntropyPlanner",
    "Dynamics",
    "Episodes",
    "Plan",
    "TransitionModel",
    "rollout",
    "run_episodes",
]
