"""The suite: previews and searched fronts of many methods on many settings, held against real joint finetuning.

Data flow one way: a `Definition` makes a `Setting` (trainings, kept on disk); every `Method` gives models (`Found`);
their per-example scores are kept as `Recording`s; `measures` holds them against the truth; `publish` writes JSON and
tables.
"""
