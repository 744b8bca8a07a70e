"""Finetuning of single tasks and joint mixtures."""

from paretomerge.training.examples import ExamplePool
from paretomerge.training.loop import Finetuned, finetune, weighted_loss
from paretomerge.training.recipe import TrainingRecipe

__all__ = ["ExamplePool", "Finetuned", "TrainingRecipe", "finetune", "weighted_loss"]
