"""Recipes: YAML to validated settings, and names to methods."""

from paretomerge.recipes.load import digest_recipe, dump_recipe, load_function, load_recipe, parse_recipe, read_source
from paretomerge.recipes.mergekit import MergekitPlan, MergekitRecipe, ModelPath, load_mergekit, parse_mergekit
from paretomerge.recipes.methods import TABLES, method
from paretomerge.recipes.schema import Recipe, TaskSection

__all__ = [
    "TABLES",
    "MergekitPlan",
    "MergekitRecipe",
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
