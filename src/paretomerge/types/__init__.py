"""Nouns that cross rooms: frozen, checked when they are made."""

from paretomerge.types.constraints import Constraint, are_feasible
from paretomerge.types.domains import Box, Domain, Simplex, grouped_box
from paretomerge.types.empty import build_empty
from paretomerge.types.front import Front, FrontPoint
from paretomerge.types.ledger import Ledger
from paretomerge.types.modules import (
    PLACES,
    call_module,
    input_device,
    load_in_place,
    outputs_of,
    require_fits,
    tensors_of,
    tied_names,
)
from paretomerge.types.objectives import Direction, Objective, from_minimised, to_minimised
from paretomerge.types.params import Layout, Params, TensorSpec, compute_dtype, digest_params, spec_of
from paretomerge.types.pattern_weights import PatternWeights
from paretomerge.types.patterns import Patterns
from paretomerge.types.problem import Batch, LikelihoodName, Problem, Split
from paretomerge.types.questions import Option, Question, Questions
from paretomerge.types.scores import Origin, Scores
from paretomerge.types.sharded import fill, is_sharded, own_part, part_of, shard_like, whole
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
    "PLACES",
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
    "build_empty",
    "call_module",
    "compute_dtype",
    "digest_params",
    "fill",
    "from_minimised",
    "grouped_box",
    "input_device",
    "is_sharded",
    "load_in_place",
    "outputs_of",
    "own_part",
    "part_of",
    "require_fits",
    "require_tasks",
    "shard_like",
    "simplex_grid",
    "spec_of",
    "tensors_of",
    "tied_names",
    "to_minimised",
    "whole",
]
