"""Pictures of predictions: every function takes a distribution, draws on matplotlib axes and returns them.

Pictures along an input take ``(distribution, x)``, with one prediction a row, in any order, and draw one target
dimension. Pictures of calibration take ``(distribution, y)``, or several distributions by name. Axes are made with
pyplot where none are handed in; nothing is shown, saved or set globally. matplotlib is imported when something is
drawn, not before.
"""

from manymodes.plots.bands import density_bands
from manymodes.plots.calibration import coverage, pit, reliability
from manymodes.plots.contours import contour
from manymodes.plots.joint import joint_contour
from manymodes.plots.lines import components
from manymodes.plots.ridges import ridgeline
from manymodes.plots.risk import risk_coverage

__all__ = [
    "components",
    "contour",
    "coverage",
    "density_bands",
    "joint_contour",
    "pit",
    "reliability",
    "ridgeline",
    "risk_coverage",
]
