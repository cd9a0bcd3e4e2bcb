"""A labelled generator of nights, and the score of what a night found against its labels."""

from posrecon.simulate.generator import SimulationSummary, simulate
from posrecon.simulate.score import Score, TypeScore, render, score, to_dict

__all__ = ["Score", "SimulationSummary", "TypeScore", "render", "score", "simulate", "to_dict"]
