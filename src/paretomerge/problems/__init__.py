"""Problems from Hugging Face models and files of examples, without a line of code."""

from paretomerge.problems.causal_lm import causal_lm_problem
from paretomerge.problems.columns import Columns, probe_columns
from paretomerge.problems.image_classification import image_classification_problem
from paretomerge.problems.placement import ModelPlacement, PlacedBuild, place_model
from paretomerge.problems.questions import causal_lm_questions
from paretomerge.problems.sequence_classification import sequence_classification_problem
from paretomerge.problems.split_files import read_table
from paretomerge.problems.splits import Source, read_sample
from paretomerge.problems.tables import Table

__all__ = [
    "Columns",
    "ModelPlacement",
    "PlacedBuild",
    "Source",
    "Table",
    "causal_lm_problem",
    "causal_lm_questions",
    "image_classification_problem",
    "place_model",
    "probe_columns",
    "read_sample",
    "read_table",
    "sequence_classification_problem",
]
