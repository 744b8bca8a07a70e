"""Parameters in Ray's object store: written once by the driver, read by all workers of a node from one place.

A tensor crosses as its bytes, whatever its dtype (numpy has no bfloat16). What comes out lies in the store's memory:
it costs a worker nothing, and must not be written to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from paretomerge.distributed.ray_connection import import_ray
from paretomerge.errors import FailureError
from paretomerge.types import Params, TensorSpec, spec_of

Share = Callable[[Params], Params]
"""What a setup with a method `shared(share)` calls for every large set of tensors that it holds."""


@final
class SharedParams(Mapping[str, Tensor]):
    """A read-only mapping of names to tensors in the object store; it travels as a few references.

    Args:
        references: name → the object that holds the tensor's bytes.
        specs: name → shape and dtype.
    """

    def __init__(self, references: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
        """Nothing is read yet."""
        self._references, self._specs = dict(references), dict(specs)

    def __getitem__(self, name: str) -> Tensor:
        """One tensor, in the store's memory."""
        return _tensor(import_ray().get(self._references[name]), self._specs[name])

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._specs)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self._specs)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor, without reading it."""
        return self._specs[name]

    def attached(self) -> dict[str, Tensor]:
        """All tensors, in the store's memory; from another node they are fetched, once for all workers of this one."""
        arrays = import_ray().get([self._references[name] for name in self._specs])
        return {name: _tensor(array, spec) for array, (name, spec) in zip(arrays, self._specs.items(), strict=True)}


def attached(params: Params) -> Params:
    """Parameters as a worker uses them: what is in the object store is looked up once, the rest stays as it is."""
    return params.attached() if isinstance(params, SharedParams) else params


class Sharing:
    """Puts sets of tensors into the object store, each once; a tensor is read, put, and forgotten.

    Tensors that are one tensor under two names stay one.
    """

    def __init__(self) -> None:
        """Nothing is shared yet."""
        self._done: dict[int, tuple[Params, SharedParams]] = {}

    def __call__(self, params: Params) -> Params:
        """The same parameters in the object store.

        Raises:
            FailureError: they do not fit there.
        """
        if isinstance(params, SharedParams):
            return params
        if id(params) not in self._done:  # the mapping is kept, so that its id is not used again
            self._done[id(params)] = (params, _put_all(params))
        return self._done[id(params)][1]


def _put_all(params: Params) -> SharedParams:
    references: dict[str, Any] = {}
    first: dict[Any, str] = {}
    for name in params:
        place = _place(params, name)
        twin = name if place is None else first.setdefault(place, name)
        references[name] = references[twin] if twin != name else _put(name, params[name])
    return SharedParams(references, {name: spec_of(params, name) for name in params})


def _place(params: Params, name: str) -> Any:
    """Equal for names of one tensor; `None` where that cannot be known without reading."""
    if hasattr(params, "locate"):
        source, inner = params.locate(name)
        return id(source), inner
    if isinstance(params, dict):
        tensor = params[name]
        known = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        return known if tensor.numel() else None
    return None


def _put(name: str, tensor: Tensor) -> Any:
    ray = import_ray()
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    try:
        return ray.put(plain)
    except ray.exceptions.RayError as error:
        raise FailureError(
            f"{name!r} ({plain.nbytes / 1e6:.0f} MB) does not fit into Ray's object store: "
            f"{' '.join(str(error).split())[:200]}. Start Ray with more: ray start --object-store-memory BYTES"
        ) from error


def _tensor(array: np.ndarray, spec: TensorSpec) -> Tensor:
    with warnings.catch_warnings():
        # It is not writable, which is as it should be: merges do not write to their inputs.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        held = torch.from_numpy(array)
    return held.view(spec.dtype).reshape(spec.shape)
