"""The words of type hints that several modules share; what a hint leaves open, its docstring says."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike as NumPyArrayLike
from numpy.typing import NDArray


class SupportsDLPack(Protocol):
    """An array of any library: a tensor of PyTorch, an array of JAX, NumPy's own."""

    def __dlpack__(self) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


ArrayLike = NumPyArrayLike | SupportsDLPack
Place = SupportsDLPack | memoryview         # memory that takes a result
Array = NDArray[np.floating[Any]]           # float32 or float64, as the network is or W
Doubles = NDArray[np.float64]
Steps = NDArray[np.int64]

Samples = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike]      # X, y, and what each counts
Chunks = Iterable[Samples] | Callable[[], Iterable[Samples]]

Path = str | os.PathLike[str]
