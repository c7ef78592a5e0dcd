"""What losses, layers, optimizers and schedules have in common: frozen settings, checked once, that a file can hold."""

import dataclasses
import functools
import reprlib

from fastbp import _validate


@functools.cache
def _names(kind):
    """Of the fields of a class: `dataclasses.fields` at every call would cost a step of `partial_fit` 5 us."""
    return tuple(field.name for field in dataclasses.fields(kind))


class Settings:
    """Base of the frozen dataclasses of settings. Their `__post_init__` checks every field, in one of these ways.

    They are equal by what is in them, and say so here once: `dataclass` would generate it for each class, 0.16 ms of every
    import of the package.
    """

    def __eq__(self, other):
        return self._values() == other._values() if type(self) is type(other) else NotImplemented

    def __hash__(self):
        return hash((type(self), self._values()))

    def _values(self):
        return tuple(getattr(self, name) for name in _names(type(self)))

    def __repr__(self):
        """As one would write it: what is at its default is left out."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        shown = (f"{name}={value!r}" for name, (value, default) in values.items() if value != default)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _set(self, name, value):
        object.__setattr__(self, name, value)       # frozen for everyone else

    def _numbers(self, *names, **bounds):
        for name in names:
            self._set(name, _validate.number(name, getattr(self, name), **bounds))

    def _numbers_or_none(self, *names, **bounds):
        self._numbers(*(name for name in names if getattr(self, name) is not None), **bounds)

    def _positive_ints(self, *names):
        for name in names:
            self._set(name, _validate.positive_int(name, getattr(self, name)))

    def _flags(self, *names):
        for name in names:
            self._set(name, _validate.flag(name, getattr(self, name)))

    def _one_of(self, name, names):
        _validate.one_of(name, getattr(self, name), names)


def to_config(settings):
    """The settings as a dict that JSON holds, with their class under "name"."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {"name": settings.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def from_config(what, config, classes):
    """What `to_config` was given: one of `classes`, by name. All else is a ValueError, since files hold anything."""
    if not isinstance(config, dict) or not isinstance(config.get("name"), str) or config["name"] not in classes:
        raise ValueError(f"{what} must be an object whose name is one of {', '.join(classes)}; not {reprlib.repr(config)}")
    values = {key: value for key, value in config.items() if key != "name"}
    try:
        return classes[config["name"]](**values)
    except TypeError as error:                      # an unknown setting, or a value of the wrong type
        raise ValueError(f"{what} {config['name']}: {error}") from None
