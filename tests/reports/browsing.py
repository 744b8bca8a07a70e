"""Opening a page in a real browser: what its document is once its scripts have run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

WATCH = (
    "<script>addEventListener('error', e => document.documentElement.dataset.error = e.message);"
    "const refuse = e => document.documentElement.dataset.refused = e.violatedDirective;"
    "document.addEventListener('securitypolicyviolation', refuse);</script>"
)
ANSWER = (
    "const holder = document.createElement('output'); holder.textContent = JSON.stringify(out);"
    "document.body.append(holder);"
)


def dumped(path: Path, tmp_path: Path, *flags: str) -> str:
    """The page's document after its scripts have run."""
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
        "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000",
        *flags, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    return done.stdout.decode("utf-8")


def opened(text: str, tmp_path: Path, probe: str = "", *flags: str) -> str:
    """`text` with errors watched; a probe script runs at the end, for which the policy must go."""
    if probe:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("<title>", WATCH + "<title>")
        text = text.replace("</body>", f"<script>{probe}</script></body>")
    path = tmp_path / "report.html"
    path.write_text(text, "utf-8")
    return dumped(path, tmp_path, *flags)


def asked(text: str, tmp_path: Path, probe: str, *flags: str) -> Any:
    """What a probe script leaves in its object `out`, which it must define."""
    document = opened(text, tmp_path, probe + ANSWER, *flags)
    assert "data-error" not in root_of(document), root_of(document)
    return json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1)))  # type: ignore[union-attr]


def root_of(document: str) -> str:
    """The opening tag of the document."""
    return re.search(r"<html[^>]*>", document).group(0)  # type: ignore[union-attr]
