"""Making bad inputs out of good ones: bytes, JSON values, texts. Everything random comes from the given generator."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

from tests.hostile.contract import SECRET_WORD

NUMBERS = (0, 1, -1, 2, 7, 127, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30)
FLOATS = (0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, -1e308, 1e400, float("nan"), float("-inf"))
TEXTS = (
    "",
    " ",
    "a",
    "a" * 300,
    "\x00",
    "a\nb",
    "\x1b[2J",
    "\ud800",
    "é漢字🙂",
    "../" + SECRET_WORD,
    "../../../../etc/passwd",
    "/etc/passwd",
    "~nobody-of-this-name/x",
    "..",
    ".",
    "C:\\windows",
    "<script>alert(1)</script>",
    "$(touch hacked); `touch hacked`",
    "'; DROP TABLE evaluations; --",
    "%s%n{0}{x!r}",
    "nan",
    "1e3",
    "null",
    "hub://",
    "os.system",
)


def value(random: random.Random, depth: int = 0) -> Any:
    """Any JSON value, most likely an unpleasant one."""
    kind = random.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return random.choice((None, True, False))
    if kind in (1, 2):
        return random.choice(NUMBERS) if random.random() < 0.9 else 10 ** random.randrange(20, 600)
    if kind == 3:
        return random.choice(FLOATS)
    if kind in (4, 5):
        return random.choice(TEXTS)
    if kind == 6:
        return [value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 7:
        return {random.choice(TEXTS): value(random, depth + 1) for _ in range(random.randrange(4))}
    return nested(40)


def nested(depth: int) -> Any:
    """Lists in lists."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def mutated(random: random.Random, content: Any, times: int | None = None) -> Any:
    """A copy of a JSON value in which some places hold something else, are gone, or are there under another name."""
    content = copy.deepcopy(content)
    for _ in range(times or random.choice((1, 1, 1, 2, 4))):
        places = list(_places(content, 0))
        if not places:
            return value(random)
        holder, key = random.choice(places)
        action = random.randrange(6)
        if action == 0 and isinstance(holder, dict):
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[random.choice(TEXTS)] = holder[key]
        elif action == 2:
            other, where = random.choice(places)
            if where in other if isinstance(other, dict) else where < len(other):
                holder[key] = copy.deepcopy(other[where])
        elif action == 3 and isinstance(holder[key], int) and not isinstance(holder[key], bool):
            holder[key] += random.choice((-8, -1, 1, 8, 2**40))
        else:
            holder[key] = value(random)
    return content


def _places(content: Any, depth: int) -> Any:
    if depth > 12:
        return
    if isinstance(content, dict):
        for key in content:
            yield content, key
            yield from _places(content[key], depth + 1)
    elif isinstance(content, list):
        for index in range(len(content)):
            yield content, index
            yield from _places(content[index], depth + 1)


def dumped(random: random.Random, content: Any) -> bytes:
    """JSON as a careless or hostile writer writes it: perhaps with keys twice, in another encoding, or deep."""
    text = json.dumps(content)
    chance = random.random()
    if chance < 0.05 and text.startswith("{") and len(text) > 2:
        text = text[:-1] + ", " + text[1:]
    elif chance < 0.1:
        text = text.replace('"', random.choice(("'", '"', '\\"')), random.randrange(1, 4))
    elif chance < 0.13:
        text = text.replace(":", ": " + "[" * 3000 + "]" * 3000 + ", ", 1)
    encoding = random.choice(("utf-8",) * 9 + ("utf-16",))
    return text.encode(encoding, "surrogatepass")


def damaged(random: random.Random, raw: bytes) -> bytes:
    """Some bytes are other ones, gone, there twice, or cut off."""
    found = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        size = len(found)
        at = random.randrange(size + 1)
        action = random.randrange(8)
        if action == 0:
            del found[at:]
        elif action == 1:
            del found[at : at + random.randrange(1, 40)]
        elif action == 2:
            found[at:at] = random.randbytes(random.randrange(1, 40))
        elif action == 3 and size >= 8:
            at = random.randrange(size - 7)
            number = random.choice(NUMBERS) % 2**64
            found[at : at + 8] = struct.pack("<Q", number)
        elif action == 4 and size >= 4:
            at = random.randrange(size - 3)
            found[at : at + 4] = struct.pack("<I", random.choice(NUMBERS) % 2**32)
        elif action == 5:
            start = random.randrange(size + 1)
            found[at:at] = found[start : start + random.randrange(1, 200)]
        elif size:
            found[min(at, size - 1)] ^= 1 << random.randrange(8)
    return bytes(found)
