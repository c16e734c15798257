"""Runs recipes: each into its folder, on the machine at hand."""

from gradlab.launch.run import Outcome, Progress, estimate, launch

__all__ = ["Outcome", "Progress", "estimate", "launch"]
