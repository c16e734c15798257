"""Runs recipes: each into its folder, on the machine at hand."""

from gradlab.launch.cost import estimate
from gradlab.launch.run import Outcome, Progress, build, launch

__all__ = ["Outcome", "Progress", "build", "estimate", "launch"]
