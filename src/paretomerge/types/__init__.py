"""Nouns that cross rooms: frozen, checked when they are made."""

from paretomerge.types.constraints import Constraint, are_feasible
from paretomerge.types.domains import Box, Domain, Simplex, grouped_box
from paretomerge.types.front import Front, FrontPoint
from paretomerge.types.ledger import Ledger
from paretomerge.types.modules import call_module, load_in_place, outputs_of, require_fits, tied_names
from paretomerge.types.objectives import Direction, Objective, from_minimised, to_minimised
from paretomerge.types.params import Layout, Params, TensorSpec, compute_dtype, digest_params, spec_of
from paretomerge.types.pattern_weights import PatternWeights
from paretomerge.types.patterns import Patterns
from paretomerge.types.problem import Batch, LikelihoodName, Problem, Split
from paretomerge.types.questions import Option, Question, Questions
from paretomerge.types.scores import Origin, Scores
from paretomerge.types.weights import Coefficients, Weights, require_tasks, simplex_grid

__all__ = [
    "Batch",
    "Box",
    "Coefficients",
    "Constraint",
    "Direction",
    "Domain",
    "Front",
    "FrontPoint",
    "Layout",
    "Ledger",
    "LikelihoodName",
    "Objective",
    "Option",
    "Origin",
    "Params",
    "PatternWeights",
    "Patterns",
    "Problem",
    "Question",
    "Questions",
    "Scores",
    "Simplex",
    "Split",
    "TensorSpec",
    "Weights",
    "are_feasible",
    "call_module",
    "compute_dtype",
    "digest_params",
    "from_minimised",
    "grouped_box",
    "load_in_place",
    "outputs_of",
    "require_fits",
    "require_tasks",
    "simplex_grid",
    "spec_of",
    "tied_names",
    "to_minimised",
]
