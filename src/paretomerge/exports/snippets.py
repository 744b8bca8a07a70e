"""Code that trains with exported task weights: for a plain loop, and for the Trainer of transformers.

Each one minimises `L(θ) = Σ_t alpha_t · mean loss of task t`, exactly in expectation, whatever the sizes of the data
sets and the tasks that happen to be in a batch. They read the exported file, so that no number is typed twice; FILE
stands for its name.
"""

from __future__ import annotations

READ_YAML = "yaml.safe_load(open(FILE))"
READ_JSON = "json.load(open(FILE))"

PLAIN_LOOP = """\
import IMPORT

alpha = READ["loss_weights"]


def weighted_step(model, batches, loss_fn, optimizer):
    \"\"\"One step on L = sum of alpha[task] * mean loss of the task; batches: task -> a batch of any size.

    loss_fn(model, batch) is the mean loss of the batch. For gradient accumulation, call backward for several batches of
    a task, each divided by how many there are.
    \"\"\"
    optimizer.zero_grad()
    total = 0.0
    for task, weight in alpha.items():
        if weight > 0:
            loss = weight * loss_fn(model, batches[task])
            loss.backward()
            total += loss.item()
    optimizer.step()
    return total
"""

TRAINER_WEIGHTS = """\
import IMPORT

import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer

alpha = READ["loss_weights"]
tasks = list(alpha)  # the column "task" of the concatenated training data: the number of each example's task


def example_losses(logits, labels):
    \"\"\"Cross-entropy of every example; of language models, its mean over the example's labelled tokens.\"\"\"
    if labels.dim() == 1:
        return cross_entropy(logits.float(), labels, reduction="none")
    labels = labels[:, 1:]
    losses = cross_entropy(logits[:, :-1].float().transpose(1, 2), labels, reduction="none")  # 0 where label is -100
    return losses.sum(1) / (labels != -100).sum(1).clamp(min=1)


class WeightedTrainer(Trainer):
    \"\"\"Examples are drawn from the concatenated data as ever; each loss is multiplied by alpha_t * N / n_t.

    That is unbiased for any batch, with gradient accumulation and on several devices: a mean over the examples of a
    task in the batch would not be, and has no value where there are none. TrainingArguments need
    remove_unused_columns=False, so that the column "task" arrives.
    \"\"\"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # the loss is a mean: Trainer divides it by the accumulation steps
        numbers = torch.tensor([int(example["task"]) for example in self.train_dataset])
        counts = torch.bincount(numbers, minlength=len(tasks)).double()
        if (counts[torch.tensor([alpha[task] > 0 for task in tasks])] == 0).any():
            raise ValueError(f"a task with a positive weight has no examples: {dict(zip(tasks, counts.tolist()))}")
        self.example_weights = torch.tensor([alpha[task] for task in tasks]) * len(numbers) / counts.clamp(min=1)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        task, labels = inputs["task"], inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name not in ("task", "labels")})
        losses = example_losses(outputs.logits, labels)
        if model.training:
            losses = losses * self.example_weights.to(losses)[task]
        loss = losses.mean()
        return (loss, outputs) if return_outputs else loss
"""

TRAINER_SAMPLING = """\
import IMPORT

import torch
from torch.utils.data import WeightedRandomSampler
from transformers import Trainer

proportions = READ["sampling_proportions"]
tasks = list(proportions)  # the column "task" of the concatenated training data: the number of each example's task


class SampledTrainer(Trainer):
    \"\"\"Each example is of task t with probability proportions[t]; losses are left alone, as means over examples.

    For language models whose loss is a mean over the tokens of a batch, tasks with long texts count more: use the loss
    weights there. TrainingArguments need remove_unused_columns=False only if the model takes the column "task".
    \"\"\"

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        numbers = torch.tensor([int(example["task"]) for example in dataset])
        counts = torch.bincount(numbers, minlength=len(tasks)).double()
        if (counts[torch.tensor([proportions[task] > 0 for task in tasks])] == 0).any():
            raise ValueError(f"a task with a positive weight has no examples: {dict(zip(tasks, counts.tolist()))}")
        chances = torch.tensor([proportions[task] for task in tasks]).double() / counts.clamp(min=1)
        generator = torch.Generator().manual_seed(self.args.seed)  # the same order on all devices
        return WeightedRandomSampler(chances[numbers], len(numbers), generator=generator)
"""

SNIPPETS = {
    "plain_loop": PLAIN_LOOP,
    "trainer_loss_weights": TRAINER_WEIGHTS,
    "trainer_sampling": TRAINER_SAMPLING,
}


def snippets_for(file: str) -> dict[str, str]:
    """The snippets, reading the exported file of this name.

    >>> print(snippets_for("weights.json")["plain_loop"].splitlines()[2])
    alpha = json.load(open('weights.json'))["loss_weights"]
    """
    as_json = file.endswith(".json")
    module, read = ("json", READ_JSON) if as_json else ("yaml", READ_YAML)
    return {
        name: text.replace("IMPORT", module).replace("READ", read.replace("FILE", repr(file)))
        for name, text in SNIPPETS.items()
    }
