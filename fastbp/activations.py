"""Names of the activations. Their functions and derivatives are in ``_core/activations.pxi``, whose enum is the registry."""

from fastbp._dispatch import core

#: name -> code in the core, in the order of the enum
ACTIVATIONS: dict[str, int] = {name.lower(): int(code) for name, code in core("float32").Activation.__members__.items()}
