"""Forged model files: each one is refused for its own fault, in one line, at once and without much memory.

The tables are name -> (the bytes of a file, a pattern of what the message says).
"""
import hashlib
import json
import os
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from fastbp import persistence
from fastbp.errors import FormatError

NO_DIGEST = "0" * 64
PAYLOAD = np.array([1, 2], "<f4").tobytes()


def entry(dtype='"F32"', shape="[2]", offsets="[0,8]", name="a"):
    """One tensor's part of a header, of raw JSON."""
    return f'"{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}'


def header_of(entries=entry(), config="{}", **metadata):  # noqa: B008
    """A header with raw JSON in every place; None leaves a key of the metadata out."""
    config = None if config is None else json.dumps(config)
    fields = {"format": '"fastbp"', "version": '"1"', "config": config, "sha256": f'"{NO_DIGEST}"'} | metadata
    about = ",".join(f'"{key}":{value}' for key, value in fields.items() if value is not None)
    return f'{{"__metadata__":{{{about}}}{"," if entries else ""}{entries}}}'


def seal(header, payload=PAYLOAD, pad=True):
    """A file with this header and a digest that is right, so that it is refused for its own fault only."""
    header = header.encode() if isinstance(header, str) else header
    header += b" " * (-len(header) % 8 if pad else 0)
    length = len(header).to_bytes(8, "little")
    digest = hashlib.sha256(length + header + payload).hexdigest()
    return length + header.replace(NO_DIGEST.encode(), digest.encode(), 1) + payload


def forge(payload=PAYLOAD, **parts):
    return seal(header_of(**parts), payload)


def two(second, payload=2 * PAYLOAD):
    """A tensor of 8 bytes at the start, and a second one."""
    return forge(payload, entries=f"{entry()},{second}")


LENGTHS = {f"{size} bytes": (bytes(size), "too few") for size in range(8)} | {
    f"header of {size} bytes": (size.to_bytes(8, "little") + bytes(64), "announces a header")
    for size in (65, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)
} | {
    "no header": (bytes(8), "not valid JSON"),
    "no header but a payload": (bytes(64), "not valid JSON"),
    "header above the cap": (seal(header_of(config=" " * 2**20)), "announces a header of 1048"),
    "header just above the cap": ((2**20 + 8).to_bytes(8, "little") + bytes(2**21), "announces a header"),
}
CONTAINERS = {name: (magic + bytes(100), "announces a header") for name, magic in {
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
    "zip": b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "hdf5": b"\x89HDF\r\n\x1a\n", "npy": b"\x93NUMPY\x01\x00v\x00{", "gguf": b"GGUF\x03\x00\x00\x00\x01",
    "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:",
    "error page": b"<!DOCTYPE html><html><title>404</title>", "json": b'{"layers": [2, 2]}'}.items()}
TEXTS = {name: (seal(header), match) for name, header, match in (
    ("words", "layers: 2", "not valid JSON"),
    ("cut", header_of()[:-1], "not valid JSON"),
    ("two objects", header_of() + "{}", "not valid JSON"),
    ("array", "[]", "not a JSON object"),
    ("null", "null", "not a JSON object"),
    ("number", "1", "not a JSON object"),
    ("string", '"fastbp"', "not a JSON object"),
    ("NaN", "NaN", "not valid JSON"),
    ("bad UTF-8", header_of().encode() + b"\xff", "can't decode"),
    ("byte order mark", "\ufeff" + header_of(), "can't decode"),
    ("NUL after it", header_of() + "\0", "not valid JSON"),
    ("space before it", " " + header_of(), "not canonical"),
    ("line feed after it", header_of() + "\n", "not canonical"),
    ("space inside", header_of(" " + entry()), "not canonical"),
    ("8 spaces too many", header_of() + " " * (8 - len(header_of()) % -8), "not padded"),
    ("array 100 000 deep", '{"a":' + "[" * 10**5, "not valid JSON"),
    ("object 100 000 deep", '{"a":' * 10**5, "not valid JSON"),
    ("tensor twice", header_of(f"{entry()},{entry()}"), "not canonical"),
    ("metadata twice", header_of()[:-1] + "," + header_of("")[1:], "not canonical"),
    ("dtype twice", header_of(entry(dtype='"F32","dtype":"F32"')), "not canonical"),
    ("digest with an escape", header_of(sha256=f'"\\u0030{"0" * 63}"'), "not canonical"),
)}
NUMBERS = {f"{place} {values[:9]} of {len(values)}": (forge(entries=entry(**{place: f"[{values}]"})), match)
           for match, numbers in {
               "not valid JSON": ("NaN", "Infinity", "-Infinity", "1e400", "02", "+2", "0x2", "9" * 5000),
               "not canonical": ("2e0", "-0"),
               "has (shape|data_offsets)": ("8.0", "0.0", "1.5", "-1", "true", "false", "null", '"2"', "[2]",
                                            "{}", "9" * 4000, str(2**63), str(2**64 + 8))}.items()
           for value in numbers
           for place, values in (("shape", value), ("offsets", f"0,{value}"), ("offsets", f"{value},8"))}
NAMES = {f"name {name[:20]!a} of {len(name)}": (forge(entries=entry(name=name)), match)
         for match, names in {
             "has a name": ("", "/etc/passwd", "../x", "a..b", ".a", "a.", "a/b", "a b", "a-b", "_a",
                            "a\\u0000", "\\n", "\\u202e", "\\ud800", "\\u00fc", "a" * 101, "a" * 10**6),
             "not canonical": ("\\u0061", "\\u000a", "\\/"), "not valid JSON": ("\x01", "\\x61"),
             "can't decode": ("ü",)}.items()
         for name in names}
DTYPES = {f"dtype {dtype}": (forge(entries=entry(dtype)), "has dtype .*; accepted: BOOL, ") for dtype in (
    '"BF16"', '"C64"', '">f4"', '"F32BE"', '"f32"', '"float32"', '"O"', '""', "null", "4", "[]", "{}")}
LAYOUTS = {
    "overlap": (two(entry(name="b"), PAYLOAD), "data_offsets"),
    "overlap in part": (two(entry(name="b", offsets="[4,12]")), "data_offsets"),
    "hole": (two(entry(name="b", offsets="[16,24]"), 3 * PAYLOAD), "data_offsets"),
    "hole at the start": (forge(2 * PAYLOAD, entries=entry(offsets="[8,16]")), "data_offsets"),
    "trailing byte": (forge(PAYLOAD + b"\0"), "take 8 bytes, but 9"),
    "hidden payload": (forge(PAYLOAD + b"PK\x03\x04" * 9), "take 8 bytes, but 44"),
    "short payload": (forge(PAYLOAD[:-1]), "take 8 bytes, but 7"),
    "no payload": (forge(b""), "take 8 bytes, but 0"),
    "no tensor": (forge(entries=""), "take 0 bytes, but 8"),
    "begin after end": (forge(entries=entry(offsets="[8,0]")), "data_offsets"),
    "end after the file": (forge(entries=entry(shape="[3]", offsets="[0,12]")), "take 12 bytes, but 8"),
    "4 EiB": (forge(entries=entry(shape=f"[{2**60}]", offsets=f"[0,{2**62}]")), "take .* bytes, but 8"),
    "3 offsets": (forge(entries=entry(offsets="[0,8,8]")), "data_offsets"),
    "no offsets": (forge(entries=entry(offsets="[]")), "data_offsets"),
    "offsets in an object": (forge(entries=entry(offsets='{"0":8}')), "data_offsets"),
    "size wraps to 0": (forge(b"", entries=entry(shape=f"[{2**32},{2**32}]", offsets="[0,0]")), "too large"),
    "size wraps to 8": (forge(entries=entry(shape=f"[{2**62 + 2}]")), "too large"),
    "huge but empty": (forge(b"", entries=entry(shape=f"[{2**62},0]", offsets="[0,0]")), "too large"),
    "9 dimensions": (forge(entries=entry(shape="[2" + 8 * ",1" + "]")), "has shape"),
    "65 dimensions": (forge(entries=entry(shape="[2" + 64 * ",1" + "]")), "has shape"),
    "shape is a number": (forge(entries=entry(shape="2")), "has shape"),
    "shape is an object": (forge(entries=entry(shape="{}")), "has shape"),
    "shape too small": (forge(entries=entry(shape="[1]")), "data_offsets"),
    "dtype too wide": (forge(entries=entry(dtype='"F64"')), "data_offsets"),
    "tensor is null": (forge(entries='"a":null'), "must have dtype, shape"),
    "tensor is a list": (forge(entries='"a":["dtype","shape","data_offsets"]'), "must have dtype, shape"),
    "no dtype": (forge(entries='"a":{"shape":[2],"data_offsets":[0,8]}'), "must have dtype, shape"),
    "extra key": (forge(entries=entry(dtype='"F32","order":"F"')), "must have dtype, shape"),
    "BOOL of 2": (forge(b"\2", entries=entry('"BOOL"', "[1]", "[0,1]")), "neither 0 nor 1"),
    "misaligned": (next(seal(header, pad=False) for header in map(header_of, (entry(), entry(name="ab")))
                        if len(header) % 8), "not padded"),
}
METADATA = {
    "empty object": (seal("{}", b""), "not a fastbp model"),
    "no metadata": (seal("{" + entry() + "}"), "not a fastbp model"),
    "metadata is a list": (seal('{"__metadata__":["format","fastbp"]}'), "not a fastbp model"),
    "another's format": (forge(format='"pt"'), "not a fastbp model"),
    "no format": (forge(format=None), "not a fastbp model"),
    "no config": (forge(config=None), "must have these keys only"),
    "no digest": (forge(sha256=None), "must have these keys only"),
    "extra key": (forge(note='"hello"'), "must have these keys only"),
    "number as a value": (forge(note="1"), "not a string"),
    "null as a value": (forge(note="null"), "not a string"),
    "object as a value": (forge(note="{}"), "not a string"),
    "upper-case digest": (forge(sha256=f'"{"A" * 64}"'), "64 lower-case"),
    "short digest": (forge(sha256='"00"'), "64 lower-case"),
    "wrong digest": (forge(sha256=f'"{"1" * 64}"'), "digest does not match"),
    "newer version": (forge(version='"2"'), "version 2 is newer than version 1"),
    "much newer version": (forge(version='"999"', note='"new"'), "version 999 is newer than version 1"),
} | {f"version {version[:9]}": (forge(version=version), "version '.*' is not a positive|not a string")
     for version in ('"0"', '"01"', '"1.0"', '"-1"', '" 1"', '""', '"1\\n"', '"\\u0661"', '"1e0"', "1",
                     "null", f'"{"9" * 5000}"')}
CONFIGS = {f"config {config[:20]}": (forge(config=config), match) for config, match in (
    ("", "config is not valid JSON"), ("x", "config is not valid JSON"),
    ("[]", "config is not a JSON object"), ("null", "config is not a JSON object"),
    ('{"a":NaN}', "config is not valid JSON"),
    ('{"a":1e400}', "config is not valid JSON"), ('{"a":1,"a":1}', "config is not canonical"),
    ('{"a": 1}', "config is not canonical"), ("{} ", "config is not canonical"),
    ("\ufeff{}", "config is not valid JSON"), ('{"a":' * 20000, "config is not valid JSON"),
    ('{"a":%s}' % ("9" * 5000), "config is not valid JSON"))}
TABLES = {"length": LENGTHS, "container": CONTAINERS, "text": TEXTS, "number": NUMBERS, "name": NAMES,
          "dtype": DTYPES, "layout": LAYOUTS, "metadata": METADATA, "config": CONFIGS}
CASES = [pytest.param(*case, id=f"{table}: {name}") for table, cases in TABLES.items()
         for name, case in cases.items()]


def refused(path, match):
    """Read a bad file; return the most memory that was in use meanwhile, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=match) as caught:
            persistence.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{str(path)!r}: ") and "\n" not in message
    assert len(message) < len(str(path)) + 400
    return peak


def test_a_forgery_without_a_fault_is_read(tmp_path):
    (tmp_path / "m").write_bytes(forge())
    tensors, config = persistence.read(tmp_path / "m")
    assert tensors.keys() == {"a"} and tensors["a"].tobytes() == PAYLOAD and config == {}
    persistence.write(tmp_path / "again", tensors, config)
    assert (tmp_path / "again").read_bytes() == forge()


@pytest.mark.parametrize("data, match", CASES)
def test_forgeries_are_refused(tmp_path, data, match):
    (tmp_path / "m").write_bytes(data)
    # The bytes, the text, and what json makes of it: four copies with Python 3.11, five with 3.12.
    assert refused(tmp_path / "m", match) <= 6 * len(data) + 2**20


@pytest.mark.parametrize("bomb", ["[],", '{"":0},', '"ab",'])
def test_json_that_swells_stays_within_64_mib(tmp_path, bomb):
    bombs = bomb * ((2**20 - 400) // len(bomb))
    (tmp_path / "m").write_bytes(seal(f'{{"a":[{bombs}0]}}'))
    assert refused(tmp_path / "m", "not a fastbp model|not canonical") <= 2**26


def test_a_hundred_thousand_tensors_are_refused(tmp_path):
    entries = ",".join(entry(shape="[0]", offsets="[0,0]", name=f"t{i}") for i in range(10**5))
    (tmp_path / "m").write_bytes(forge(b"", entries=entries))
    assert refused(tmp_path / "m", "announces a header") <= 2**20


def test_a_sparse_file_of_a_terabyte(tmp_path):
    with open(tmp_path / "m", "wb") as file:
        file.write(forge())
        file.truncate(2**40)
    assert refused(tmp_path / "m", "take 8 bytes, but") <= 2**20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = []
    reader = threading.Thread(target=lambda: done.append(refused(tmp_path / "pipe", "not a regular file")),
                              daemon=True)
    reader.start()
    reader.join(timeout=10)  # a reader that waits for the pipe's other end would wait for ever
    assert done


@pytest.mark.skipif(os.name == "nt", reason="a directory cannot be opened at all there")
def test_a_directory_is_refused(tmp_path):
    refused(tmp_path, "not a regular file")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file here")
def test_an_endless_file_is_refused():
    assert refused("/dev/zero", "not a regular file") <= 2**20


WATCHED_READ = """
import sys
from fastbp import persistence
seen = []
def read():
    try:
        persistence.read(sys.argv[1])
    except persistence.FormatError:
        pass
read()  # what Python itself sets up on first use is none of the file's doing
sys.addaudithook(lambda event, args: seen.append((event, *args[:1])))
read()
print([call for call in seen if not isinstance(call[-1], int)])  # int: a file object for the same descriptor
"""


@pytest.mark.parametrize("data", [forge(), forge(b""), CONTAINERS["pickle"][0]], ids=["good", "bad", "worse"])
def test_reading_opens_one_file_and_runs_nothing(tmp_path, data):
    (tmp_path / "m").write_bytes(data)
    command = [sys.executable, "-c", WATCHED_READ, str(tmp_path / "m")]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert seen == f"{[('open', str(tmp_path / 'm'))]}\n"
