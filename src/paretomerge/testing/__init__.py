"""Problems with known fronts, and the laws every method must obey; public, for the tests of other methods."""

from paretomerge.testing.landscapes import Quadratics, SigmoidQuadratic
from paretomerge.testing.laws import (
    assert_params_close,
    batch_equals_single,
    blockwise_equals_whole,
    corner_returns_task,
    dtypes_are_kept,
    equal_tasks_are_fixed,
    inputs_are_untouched,
    no_weight_returns_base,
    order_does_not_matter,
    weightless_task_is_absent,
)
from paretomerge.testing.problems import LinearRegressionTasks, random_params

__all__ = [
    "LinearRegressionTasks",
    "Quadratics",
    "SigmoidQuadratic",
    "assert_params_close",
    "batch_equals_single",
    "blockwise_equals_whole",
    "corner_returns_task",
    "dtypes_are_kept",
    "equal_tasks_are_fixed",
    "inputs_are_untouched",
    "no_weight_returns_base",
    "order_does_not_matter",
    "random_params",
    "weightless_task_is_absent",
]
