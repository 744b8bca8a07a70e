"""Reading what a pickle would do, before anything of it is done.

`torch.load(weights_only=True)` calls no code of a stranger, but some of what it does call makes memory out of a few
bytes: `bytearray(10**12)`, `torch.Tensor(10**9)` (whose values are whatever lay in the memory), a tensor without
storage. No state dict needs them. The scan follows the stack machine of the pickle with its numbers, tuples and names
only; what is called with them is looked at and never called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

LEGACY_PICKLES = 5  # magic number, protocol, machine, content, keys: what `torch.save` wrote before PyTorch 1.6

MARK, UNKNOWN = object(), object()

_KEEPING = ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD")  # change what lies below, and leave it

TEXT_CODES = ("latin1", "latin-1", "utf-8", "utf8", "ascii")

Tuple = tuple[Any, ...]


class Name(str):
    """The name of a function or class, as `module.name`."""


class BoundedReader:
    """A file of `size` bytes: a pickle that says that its next text has more gets what is there, and no memory more."""

    def __init__(self, handle: IO[bytes], size: int) -> None:
        """From where the handle is."""
        self._handle, self._left = handle, size

    def read(self, count: int) -> bytes:
        """The next bytes, at most `count`."""
        found = self._handle.read(min(count, self._left))
        self._left -= len(found)
        return found

    def readline(self) -> bytes:
        """The next line."""
        found = self._handle.readline()
        self._left -= len(found)
        return found


class Made(str):
    """What a function or class of this name gave back."""


@dataclass
class Scan:
    """What pickles would do.

    Fields:
        bomb: the name of a function that would make memory out of nothing.
        names: of all functions and classes, in their order.
        filled: those of them whose results are filled as mappings are.
    """

    bomb: str | None = None
    names: dict[str, None] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)


def scan_pickles(reader: BoundedReader, found: Scan, count: int = 1) -> None:
    """Add what the next `count` pickles would do to `found`, up to the first bomb.

    Raises:
        ValueError and others: not a pickle; whoever reads it says so.
    """
    for _ in range(count):
        if found.bomb is None:
            _scan(reader, found)


def _scan(reader: BoundedReader, found: Scan) -> None:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any  # a number or a text, where the opcode has one
    for opcode, argument, _ in pickletools.genops(reader):  # type: ignore[arg-type]
        name = opcode.name
        if name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            is_name = isinstance(function, Name)
            if is_name and _makes_memory(function, arguments):
                found.bomb = str(function)
                return
            stack.append(Made(function) if is_name else UNKNOWN)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ", 1) if name == "GLOBAL" else [stack.pop(), stack.pop()][::-1]
            stack.append(Name(".".join(map(str, parts))))
            found.names[str(stack[-1])] = None
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument, UNKNOWN))
        else:
            _STEPS.get(name, _generic)(stack, opcode, argument)
            if name in ("SETITEM", "SETITEMS") and isinstance(stack[-1], Made):
                found.filled.add(str(stack[-1]))


def _generic(stack: list[Any], opcode: Any, argument: Any) -> None:
    """What any other opcode takes from the stack and leaves there."""
    if pickletools.markobject in opcode.stack_before:
        _to_mark(stack)
        taken = [part for part in opcode.stack_before if part not in (pickletools.markobject, pickletools.stackslice)]
    else:
        taken = list(opcode.stack_before)
    below = stack[-len(taken)] if taken else UNKNOWN
    for _ in taken:
        stack.pop()
    if opcode.name in _KEEPING:
        stack.append(below)
        return
    known = argument if isinstance(argument, int | str) and not isinstance(argument, bool) else UNKNOWN
    stack.extend(MARK if part is pickletools.markobject else known for part in opcode.stack_after)


def _to_mark(stack: list[Any]) -> list[Any]:
    """Take everything above the last mark, and the mark."""
    taken = []
    while (top := stack.pop()) is not MARK:
        taken.append(top)
    return taken[::-1]


def _tuple_of(count: int) -> Callable[[list[Any], Any, Any], None]:
    def step(stack: list[Any], opcode: Any, argument: Any) -> None:
        taken = stack[-count:]
        del stack[-count:]
        stack.append(tuple(taken))

    return step


def _tuple_to_mark(stack: list[Any], opcode: Any, argument: Any) -> None:
    stack.append(tuple(_to_mark(stack)))


_STEPS: dict[str, Callable[[list[Any], Any, Any], None]] = {
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple_to_mark,
    "EMPTY_TUPLE": lambda stack, opcode, argument: stack.append(()),
}


def _makes_memory(function: str, arguments: Any) -> bool:
    module, _, name = function.rpartition(".")
    given: Tuple = arguments if isinstance(arguments, tuple) else (UNKNOWN,)
    if name == "bytearray":
        return any(not isinstance(value, str) for value in given) and len(given) == 1
    if function == "_codecs.encode":
        return len(given) > 1 and given[1] not in TEXT_CODES
    if module == "torch._utils":
        return name in ("_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy")
    return module.split(".")[0] == "torch" and name.endswith(("Tensor", "Storage"))
