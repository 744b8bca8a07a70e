"""Recipes: YAML to validated settings, and names to methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.recipes.evaluators import (
        CommandSection,
        EvaluatorSection,
        FunctionSection,
        HarnessSection,
        MetricsSection,
    )
    from paretomerge.recipes.file_problems import FILE_PROBLEMS
    from paretomerge.recipes.load import (
        digest_recipe,
        dump_recipe,
        load_function,
        load_recipe,
        parse_recipe,
        read_source,
    )
    from paretomerge.recipes.mergekit import MergekitPlan, MergekitRecipe, ModelPath, load_mergekit, parse_mergekit
    from paretomerge.recipes.methods import TABLES, method
    from paretomerge.recipes.schema import Recipe, TaskSection

__all__ = [
    "FILE_PROBLEMS",
    "TABLES",
    "CommandSection",
    "EvaluatorSection",
    "FunctionSection",
    "HarnessSection",
    "MergekitPlan",
    "MergekitRecipe",
    "MetricsSection",
    "ModelPath",
    "Recipe",
    "TaskSection",
    "digest_recipe",
    "dump_recipe",
    "load_function",
    "load_mergekit",
    "load_recipe",
    "method",
    "parse_mergekit",
    "parse_recipe",
    "read_source",
]

_HOMES = {
    "CommandSection": "evaluators",
    "EvaluatorSection": "evaluators",
    "FILE_PROBLEMS": "file_problems",
    "FunctionSection": "evaluators",
    "HarnessSection": "evaluators",
    "MergekitPlan": "mergekit",
    "MergekitRecipe": "mergekit",
    "MetricsSection": "evaluators",
    "ModelPath": "mergekit",
    "Recipe": "schema",
    "TABLES": "methods",
    "TaskSection": "schema",
    "digest_recipe": "load",
    "dump_recipe": "load",
    "load_function": "load",
    "load_mergekit": "mergekit",
    "load_recipe": "load",
    "method": "methods",
    "parse_mergekit": "mergekit",
    "parse_recipe": "load",
    "read_source": "load",
}

__getattr__ = on_first_use("paretomerge.recipes", _HOMES)
