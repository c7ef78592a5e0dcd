"""What of a fit goes into a checkpoint, and back: everything that order, dropout and rates do not follow from the seed."""

import contextlib
import dataclasses
import functools
import json
import warnings

import numpy as np

from fastbp._description import describe, to_model
from fastbp._dispatch import ISA
from fastbp.errors import FormatError

HISTORY = ("loss", "metric", "val_loss", "val_metric", "learning_rate", "seconds", "samples", "health")
POSITION = ("epoch", "chunk", "step", "first_step", "n_steps", "n_samples", "seconds", "ended")      # attributes of `Fit`
ROWS = 64               # of the data, at each end, that a checkpoint knows again


def collect(fit):
    """Tensors and configuration of a checkpoint."""
    tensors, config = describe(fit.net)
    n_updates, blocks = fit.net._kept_by_optimizer()
    training = {"fit": fit.identity, "isa": ISA, "n_updates": n_updates, "step": fit.history.step,
                "position": {name: getattr(fit, name) for name in POSITION}, "callbacks": []}
    more = {"totals": fit.totals, "learning_rate": np.float64(fit.learning_rate)} | blocks
    more |= {f"history.{name}": np.array(getattr(fit.history, name)) for name in HISTORY}
    more |= {f"lbfgs.{name}": array for name, array in (fit.full_batch.state() if fit.full_batch else {}).items()}
    for i, callback in enumerate(fit.stateful):
        training["callbacks"].append(_pack(callback.get_state(), f"callbacks.{i}", more))
    return tensors | {f"training.{name}": array for name, array in more.items()}, config | {"training": training}


def check(fit, saved):
    """Refuse a checkpoint of another fit; the message names what differs."""
    with _naming(saved.path):
        then, isa = saved.config["training"]["fit"], saved.config["training"]["isa"]
        now = json.loads(json.dumps(fit.identity))
        others = [name for name in now if then.get(name) != now[name]]
    if others:
        differences = (f"{name} {'is not the same' if name in _DIGESTS else f'was {then.get(name)}, is now {now[name]}'}"
                       for name in others)
        raise ValueError(f"resume: {saved.path!r} is the checkpoint of another fit: {'; '.join(differences)}")
    if isa != ISA:
        warnings.warn(f"{saved.path!r} was written on the ISA row {isa}, and this is {ISA}: last bits may differ from those of a "
                      "fit that was never stopped", UserWarning, stacklevel=5)


def restore_history(fit, saved):
    """The epochs that are done."""
    with _naming(saved.path):
        for name in HISTORY:
            array = saved.tensors[f"training.history.{name}"]
            setattr(fit.history, name, list(array) if name == "health" else array.tolist())
        fit.history.step = saved.config["training"]["step"]


def restore(fit, saved):
    """All else."""
    net, training = fit.net, saved.config["training"]
    with _naming(saved.path):
        model = to_model(saved.tensors, saved.config)
        its = {name.removeprefix("training."): tensor for name, tensor in saved.tensors.items()}
        net._set_rows([{0: rows} for rows in model.rows])
        net.classes_, net.n_epochs = model.classes, model.epochs
        blocks = {name: its[name] for name in ("slots", "average") if name in its}
        net._restore_optimizer(net._update, training["n_updates"], blocks)
        if fit.full_batch is not None:
            fit.full_batch.restore({name.removeprefix("lbfgs."): its[name] for name in its if name.startswith("lbfgs.")})
        fit.totals[:], fit.learning_rate = its["totals"], float(its["learning_rate"])
        for name in POSITION:
            setattr(fit, name, training["position"][name])
        for callback, state in zip(fit.stateful, training["callbacks"]):
            callback.set_state(_unpack(state, its))


# What makes a fit the same --------------------------------------------------------------------------------------

_DIGESTS = ("rows", "X, y or a weight", "validation_data")


def identity(fit):
    """What must be as it was. Epochs may be more, and threads do not matter."""
    net, plan = fit.net, fit.plan
    return {
        "network": [net.sizes[0], *map(in_words, net.layers)], "loss": in_words(net._loss), "dtype": net.dtype.name,
        "seed": net.seed, "input_dropout": net.input_dropout, "input_noise": net.input_noise,
        "optimizer": in_words(plan.optimizer), "batch_size": plan.batch_size, "shuffle": plan.shuffle,
        "n_samples": None if fit.source.is_stream else fit.source.n_samples, "health": plan.health,
        "callbacks with a state": [type(callback).__qualname__ for callback in fit.stateful],
        "rows": None if fit.source.rows is None else _sha256(fit.source.rows.tobytes()).hexdigest(),
        "X, y or a weight": digest(fit.source.first), "validation_data": digest(fit.validation),
    }


def in_words(value):
    """Settings as text that is the same in another process: of functions the name, not the address."""
    if dataclasses.is_dataclass(value):
        fields = (f"{field.name}={in_words(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    if value is None or isinstance(value, (bool, int, float, str, tuple)):
        return repr(value)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


#: The same of an optimizer, which `partial_fit` needs at every step.
optimizer_in_words = functools.lru_cache(maxsize=8)(in_words)


def digest(data):
    """Of the first and last rows of samples and of their shape; None for none."""
    if data is None:
        return None
    found = _sha256()
    for array in data:
        if array is not None:
            found.update(f"{array.dtype.str} {array.shape};".encode())
            for part in (array[:ROWS], array[-ROWS:]):
                found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def _sha256(data=b""):
    import hashlib  # OpenSSL: 3 ms of an import of the package
    return hashlib.sha256(data)


# States of callbacks --------------------------------------------------------------------------------------------


def _pack(value, name, tensors):
    """The value with its arrays replaced by where they are among the tensors."""
    if isinstance(value, np.ndarray):
        place = f"{name}.{len(tensors)}"
        tensors[place] = value
        return {"tensor of the file": place}
    if isinstance(value, dict):
        return {key: _pack(item, name, tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(item, name, tensors) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value, tensors):
    if isinstance(value, dict):
        if value.keys() == {"tensor of the file"}:
            return tensors[value["tensor of the file"]]
        return {key: _unpack(item, tensors) for key, item in value.items()}
    return [_unpack(item, tensors) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _naming(path):
    """A file that is whole and signed, but lacks something, was not written by us."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{path!r}: no checkpoint that this version can go on from: {error!r}") from error
