"""The tensors of a posterior in one file: each part's path is the prefix of its tensors' names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.files.safetensors_files import SafetensorsFile
from paretomerge.types import Params, TensorSpec


@dataclass(frozen=True)
class Collected:
    """What is going to be written: key in the file → where the tensor is, and its name there.

    Args:
        tensors: shared by all parts.
        prefix: of the part at hand.
    """

    tensors: dict[str, tuple[Params, str]] = field(default_factory=dict)
    prefix: str = ""

    def below(self, path: str) -> Collected:
        """The same for the part at `path`."""
        return replace(self, prefix=self.prefix + path)

    def params(self, path: str, params: Params) -> None:
        """Note a set of tensors."""
        self.tensors.update({f"{self.prefix}{path}{name}": (params, name) for name in params})

    def tensor(self, path: str, tensor: Tensor) -> None:
        """Note one tensor."""
        self.tensors[self.prefix + path] = ({path: tensor}, path)


@dataclass(frozen=True)
class Stored:
    """What is in a file, seen from the part at `prefix`."""

    file: SafetensorsFile
    prefix: str = ""

    def below(self, path: str) -> Stored:
        """The same for the part at `path`."""
        return replace(self, prefix=self.prefix + path)

    def params(self, path: str) -> Checkpoint:
        """A set of tensors, read when they are used."""
        return Checkpoint((Prefixed(self.file, self.prefix + path),), self.file.path)

    def mean(self, path: str) -> Checkpoint:
        """The same, not empty."""
        found = self.params(path)
        if not len(found):
            raise ValueError(f"there are no tensors under {self.prefix + path!r}")
        return found

    def precision(self, path: str) -> Checkpoint:
        """The same, all floating-point."""
        found = self.params(path)
        for name in found:
            if not found.spec(name).is_mergeable:
                raise ValueError(f"{path}{name} has the dtype {found.spec(name).dtype}, a precision is floating-point")
        return found

    def tensor(self, path: str) -> Tensor:
        """One tensor, read now."""
        key = self.prefix + path
        if key not in self.file.entries:
            raise ValueError(f"the tensor {key!r} is missing")
        if not self.file.spec(key).is_mergeable:
            raise ValueError(f"{key} has the dtype {self.file.spec(key).dtype}, a precision is floating-point")
        return self.file.read(key)


@dataclass(frozen=True)
class Prefixed:
    """The tensors of a file whose names start with `prefix`, under the rest of their names."""

    file: SafetensorsFile
    prefix: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names without the prefix, in the order of the file."""
        return tuple(name.removeprefix(self.prefix) for name in self.file.names if name.startswith(self.prefix))

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype."""
        return self.file.spec(self.prefix + name)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """Values."""
        return self.file.read(self.prefix + name, buffer)

    def locate(self, name: str) -> tuple[SafetensorsFile, str]:
        """The file, and the full name."""
        return self.file, self.prefix + name
