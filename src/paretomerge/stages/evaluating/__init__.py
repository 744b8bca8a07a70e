"""Who scores models: the evaluators of a recipe, made from its sections."""
