"""Tiny models, data and runs of transformers' Trainer for the tests; no network, no dropout."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.utils.data import Dataset

transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
pytest.importorskip("accelerate", reason="the optional extra hf is not installed")

transformers.logging.set_verbosity_error()

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert(seed: int = 0, **changes):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    settings = {"vocab_size": 16, "max_position_embeddings": 8, "num_labels": 3} | NO_DROPOUT | sizes | changes
    config = transformers.BertConfig(**settings)
    return transformers.BertForSequenceClassification(config)


def gpt2(seed: int = 0):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=16,
        n_positions=8,
        n_embd=8,
        n_layer=1,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def lora(model, seed: int = 0, **settings):
    """The model with an adapter whose `B` is not zero, so that `A` has gradients from the start."""
    peft = pytest.importorskip("peft", reason="the optional extra hf is not installed")
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**({"r": 2, "lora_alpha": 4} | settings)))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return wrapped


class Classified(Dataset):
    """Random tokens, and a class that depends on the first; `noisy`: reading an example draws a random number."""

    def __init__(self, count: int = 16, seed: int = 0, extra: bool = False, noisy: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tokens = torch.randint(1, 16, (count, 5), generator=generator)
        self.labels = (self.tokens[:, 0] + seed) % 3
        self.extra = extra
        self.noisy = noisy

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int):
        if self.noisy:
            torch.rand(1)
        row = {"input_ids": self.tokens[index], "attention_mask": torch.ones(5, dtype=torch.long)}
        return row | {"labels": int(self.labels[index])} | ({"text": "not for the model"} if self.extra else {})


class Texts(Dataset):
    """Random tokens as a causal language model is trained on them; the first two are a prompt without labels."""

    def __init__(self, count: int = 16, seed: int = 0) -> None:
        self.tokens = torch.randint(1, 16, (count, 6), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int):
        tokens = self.tokens[index]
        labels = torch.cat([torch.full((2,), -100), tokens[2:]])
        return {"input_ids": tokens, "attention_mask": torch.ones(6, dtype=torch.long), "labels": labels}


def run(folder, model, data, *callbacks, kind=None, optimizer=None, **settings):
    """A finished trainer: four examples a step in their order, one epoch, constant learning rate."""
    arguments = transformers.TrainingArguments(
        str(folder),
        **(
            {
                "per_device_train_batch_size": 4,
                "num_train_epochs": 1,
                "learning_rate": 1e-2,
                "lr_scheduler_type": "constant",
                "train_sampling_strategy": "sequential",
                "save_strategy": "no",
                "report_to": [],
                "use_cpu": True,
                "disable_tqdm": True,
                "logging_strategy": "no",
                "max_grad_norm": 0.0,
            }
            | settings
        ),
    )
    trainer = (kind or transformers.Trainer)(
        model, arguments, train_dataset=data, callbacks=list(callbacks), optimizers=(optimizer, None)
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return trainer


def batch_of(data, rows):
    """Examples collated by hand."""
    examples = [data[index] for index in rows]
    keys = ("input_ids", "attention_mask", "labels")
    return {key: torch.stack([torch.as_tensor(example[key]) for example in examples]) for key in keys}
