"""Problems from Hugging Face models and files of examples, without a line of code."""

from paretomerge.problems.causal_lm import causal_lm_problem
from paretomerge.problems.sequence_classification import sequence_classification_problem
from paretomerge.problems.splits import Source

__all__ = ["Source", "causal_lm_problem", "sequence_classification_problem"]
