from __future__ import annotations

from pathlib import Path

from paretomerge.demo.digits import TASKS
from paretomerge.demo.methods import HEADLINE, demo_methods
from paretomerge.demo.study import recipe_of
from paretomerge.demo.trainings import FINETUNING
from paretomerge.recipes import method
from paretomerge.training import TrainingRecipe


def test_the_demo_is_a_recipe_with_the_headline_posterior_and_the_finetunes_training() -> None:
    recipe = recipe_of({name: Path(name) for name in ("base", *TASKS)}, seed=3)
    headline = next(row for row in demo_methods() if row.name == HEADLINE)
    assert method("posterior", recipe.posterior.family, recipe.posterior.settings) == headline.fit
    assert TrainingRecipe.of(recipe.training.model_dump()) == FINETUNING
