"""Model files: what is written comes back bit for bit, and what is damaged is refused."""
import json
import os
import stat
from types import SimpleNamespace

import numpy as np
import pytest

from fastbp import persistence
from fastbp.errors import FormatError

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
SHAPES = [(), (0,), (0, 3), (3, 0), (5,), (2, 3), (1, 2, 1, 2, 1, 2, 1, 2)]


def random_tensor(dtype, shape, rng):
    """Any bit pattern at all, so that a float may be infinite, subnormal or any of the NaNs."""
    if dtype == "?":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape)


def write_small(path):
    tensors = {"W": np.float32([[1, 2], [3, 4]]), "b": np.float32([0.5, -1]), "on": np.array([True, False])}
    persistence.write(path, tensors, {"name": "x", "sizes": [2, 2]})
    return path.read_bytes()


def bits(tensors):
    return {name: (tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in tensors.items()}


# What is written comes back

@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_keeps_every_bit(tmp_path, dtype):
    rng = np.random.default_rng(0)
    tensors = {f"t.{i}": random_tensor(dtype, shape, rng) for i, shape in enumerate(SHAPES)}
    persistence.write(tmp_path / "m", tensors, {})
    read, _ = persistence.read(tmp_path / "m")
    assert bits(read) == bits(tensors)
    assert all(tensor.dtype.isnative and tensor.flags.writeable for tensor in read.values())


@pytest.mark.parametrize("dtype, pattern", [("f2", 0x7C01), ("f4", 0x7F800001), ("f8", 0x7FF0000000000001)])
def test_signalling_nans_stay_as_they_are(tmp_path, dtype, pattern):
    tensor = np.array([pattern, pattern + 5], dtype=dtype.replace("f", "u")).view(dtype)
    persistence.write(tmp_path / "m", {"t": tensor}, {})
    assert persistence.read(tmp_path / "m")[0]["t"].tobytes() == tensor.tobytes()


def test_config_comes_back(tmp_path):
    config = {"text": "ü\ud800\u202e\x00\"\\", "float": 0.1, "null": None, "list": [1, [True, {}]],
              "integer": 2**200}
    persistence.write(tmp_path / "m", {}, config)
    assert persistence.read(tmp_path / "m") == ({}, config)


def test_memory_layout_and_byte_order_do_not_matter(tmp_path):
    plain = np.arange(12.0).reshape(3, 4)
    tensors = {"fortran": np.asfortranarray(plain), "big_endian": plain.astype(">f8"),
               "strided": np.repeat(plain, 2, axis=1)[:, ::2], "reversed": plain[::-1].copy()[::-1]}
    persistence.write(tmp_path / "m", tensors, {})
    read, _ = persistence.read(tmp_path / "m")
    assert read.keys() == tensors.keys()
    for tensor in read.values():
        np.testing.assert_array_equal(tensor, plain, strict=True)


def test_the_safetensors_package_reads_a_model(tmp_path):
    stock = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(1)
    tensors = {f"t{i}": random_tensor(dtype, (3,), rng) for i, dtype in enumerate(DTYPES)}
    tensors |= {"point": np.array(2.5), "empty": np.empty((0, 3))}
    persistence.write(tmp_path / "m", tensors, {"text": "ü\ud800\"\\"})
    assert bits(stock.load_file(tmp_path / "m")) == bits(tensors)


def test_tensors_are_aligned_for_those_who_map_the_file(tmp_path):
    tensors = {f"t{i}": np.ones(3, dtype) for i, dtype in enumerate(DTYPES)}
    persistence.write(tmp_path / "m", tensors, {})
    data = (tmp_path / "m").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    for name, tensor in tensors.items():
        assert (start + header[name]["data_offsets"][0]) % tensor.itemsize == 0


# What is damaged is refused; more of it in test_modelfile_hostile.py

def test_every_truncation_is_refused(tmp_path):
    data = write_small(tmp_path / "m")
    for size in range(len(data)):
        (tmp_path / "m").write_bytes(data[:size])
        with pytest.raises(FormatError):
            persistence.read(tmp_path / "m")


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x02, 0x10, 0x20, 0x80])
def test_every_flipped_byte_is_refused(tmp_path, mask):
    data = write_small(tmp_path / "m")
    for i, byte in enumerate(data):
        (tmp_path / "m").write_bytes(data[:i] + bytes([byte ^ mask]) + data[i + 1:])
        with pytest.raises(FormatError):
            persistence.read(tmp_path / "m")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    data = write_small(tmp_path / "m")
    (tmp_path / "m").write_bytes(data[:-1])
    before = SimpleNamespace(st_mode=stat.S_IFREG, st_size=len(data))
    monkeypatch.setattr(os, "fstat", lambda descriptor: before)
    with pytest.raises(FormatError, match="became shorter"):
        persistence.read(tmp_path / "m")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        persistence.read(tmp_path / "m")
    assert caught.value.filename == str(tmp_path / "m")


@pytest.mark.parametrize("tensors, config, error", [
    ({"t": np.array([None])}, {}, TypeError), ({"t": np.array([1j])}, {}, TypeError),
    ({"t": np.array(["text"])}, {}, TypeError), ({}, {"a": b"bytes"}, TypeError),
    ({"../t": np.ones(2)}, {}, FormatError), ({"__metadata__": np.ones(2)}, {}, FormatError),
    ({"t": np.ones((1,) * 9)}, {}, FormatError), ({}, {"a": float("nan")}, FormatError),
    ({}, [], FormatError), ({}, {"1": 0, 1: 0}, FormatError), ({}, {"a": "x" * 2**20}, FormatError)])
def test_what_could_not_be_read_is_not_written(tmp_path, tensors, config, error):
    with pytest.raises(error):
        persistence.write(tmp_path / "m", tensors, config)
    assert not any(tmp_path.iterdir())
