"""Pareto fronts of multitask finetuning, estimated from single-task finetunes."""
