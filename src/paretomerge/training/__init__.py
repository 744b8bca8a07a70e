"""Finetuning of single tasks and joint mixtures."""

from paretomerge.training.batch_statistics import refresh_statistics
from paretomerge.training.examples import ExamplePool
from paretomerge.training.ivon import Ivon
from paretomerge.training.ivon_in_trainer import ivon_trainer
from paretomerge.training.ivon_settings import IvonSettings
from paretomerge.training.loop import Finetuned, finetune
from paretomerge.training.lora_settings import LoraSettings
from paretomerge.training.losses import weighted_loss
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.training.runs import finetune_runs, mixture_of_runs
from paretomerge.training.validation import Check

__all__ = [
    "Check",
    "ExamplePool",
    "Finetuned",
    "Ivon",
    "IvonSettings",
    "LoraSettings",
    "TrainingRecipe",
    "finetune",
    "finetune_runs",
    "ivon_trainer",
    "mixture_of_runs",
    "refresh_statistics",
    "weighted_loss",
]
