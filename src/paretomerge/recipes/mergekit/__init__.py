"""mergekit configurations: read and checked, and translated to merge rules and coefficients, tensor by tensor.

    linear                              Averaging, or WeightedSum where weights are negative or not normalised
    slerp                               Slerp, weights (1 - t, t); the base is the first of the two
    task_arithmetic                     TaskArithmetic
    ties                                Ties
    dare_linear, dare_ties              Dare
    della_linear, della                 Della
    breadcrumbs, breadcrumbs_ties       Breadcrumbs

In `linear` the base is a model like the others and needs a weight; in `slerp` it is the model at `t = 0`; elsewhere
it is the origin of the task vectors, and what is set for it has no effect. A base with `weight: 0` in `linear` only
lends its configuration and tokenizer.

Where results differ from mergekit's:

- mergekit reads tensors in `dtype` and computes in it (`linear` and `slerp` in float32); here `dtype` decides only
  what is written, and half precision is computed in float32;
- where several elements of a task vector have equal magnitude (common in half precision), mergekit's sort keeps any of
  them, here the first in memory are kept;
- `dare` and `della` draw other random numbers, and `dare` rescales by the density, where mergekit restores the sum of
  magnitudes of the tensor.
"""

from paretomerge.recipes.mergekit.load import load_mergekit, parse_mergekit
from paretomerge.recipes.mergekit.models import ModelPath
from paretomerge.recipes.mergekit.plan import MergekitPlan
from paretomerge.recipes.mergekit.recipe import MergekitRecipe

__all__ = ["MergekitPlan", "MergekitRecipe", "ModelPath", "load_mergekit", "parse_mergekit"]
