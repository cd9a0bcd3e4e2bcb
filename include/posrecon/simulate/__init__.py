"""A labelled generator of nights, and the score of what a night found against its labels."""

from posrecon.simulate.generator import SimulationSummary, simulate
from posrecon.simulate.score import Score, TierScore, TypeScore, render, score, to_dict

__all__ = ["Score", "SimulationSummary", "TierScore", "TypeScore", "render", "score", "simulate", "to_dict"]
