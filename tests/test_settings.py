"""Losses, layers, optimizers and schedules are equal by what is in them, and only then."""

import pytest

import fastbp
from fastbp import schedules


@pytest.mark.parametrize("make, other", [
    (lambda: fastbp.SGD(0.1, momentum=0.9), fastbp.SGD(0.1, momentum=0.8)),
    (lambda: fastbp.Adam(0.1), fastbp.AdamW(0.1)),
    (lambda: fastbp.LBFGS(), None),
    (lambda: fastbp.Dense(8, "relu"), fastbp.Dense(8, "tanh")),
    (lambda: fastbp.losses.Huber(1.5), fastbp.losses.Huber(2.0)),
    (lambda: schedules.Exponential(0.1, 5), schedules.Exponential(0.1, 6)),
], ids=repr)
def test_equality(make, other):
    assert make() == make() and hash(make()) == hash(make())
    assert make() != other
    assert len({make(), make(), other}) == 2


def test_what_is_at_its_default_is_not_shown():
    assert repr(fastbp.SGD(0.5, nesterov=True, momentum=0.9)) == "SGD(learning_rate=0.5, momentum=0.9, nesterov=True)"
