"""The bytes of a model file: named arrays and a configuration, laid out as safetensors.

8 bytes of header length, a JSON header, the tensors end to end, all little-endian: the `safetensors` package
reads it. Here the standard library and NumPy do, and trust nothing: no byte is executed, imported or used as
a file name, memory is taken only for what the file's own size bears out, and a SHA-256 digest covers every
byte. Of paths and networks this room knows nothing.
"""
import json
import math
import re
import reprlib
import sys

import numpy as np

from fastbp.errors import FormatError

_VERSION = 1
_MAX_HEADER = 2**20  # bytes; thousands of layers fit, and JSON made to swell when parsed stays below 64 MiB
_MAX_DIMS = 8
_MAX_NAME = 100
_NAME = re.compile(r"[A-Za-z0-9]\w*(\.\w+)*", re.ASCII)
_METADATA = dict.fromkeys(("format", "version", "config", "sha256"))
_DIGEST = '"sha256":"%s"'  # occurs once in a header: inside a JSON string its quotes are escaped
_NO_DIGEST = "0" * 64  # stands in for the digest while the digest is computed
_DTYPES = {code: np.dtype(dtype) for code, dtype in {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}.items()}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def encode(tensors, config):
    """Return the bytes of a model file as a list of buffers: length, header, then each tensor.

    A dtype or a value in `config` that has no place in a file is a TypeError. Whatever else `decode` would
    refuse is a ValueError or a RecursionError already here.
    """
    arrays = {name: _to_little_endian(name, tensor) for name, tensor in tensors.items()}
    # Wide items first, so that every tensor begins at a multiple of its item size: others may map the file.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    entries, end = {}, 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": _CODES[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
    text = _header_text(entries, _to_json(config))
    _parse_header(text.encode(), end)  # what `decode` would refuse is refused now
    length = len(text).to_bytes(8, "little")
    payload = [_bytes_of(array) for array in arrays.values()]
    digest = _digest(length, text, payload)
    return [length, text.replace(_DIGEST % _NO_DIGEST, _DIGEST % digest).encode(), *payload]


def _header_text(entries, config):
    """Return the header, without the digest and padded so that the tensors begin at a multiple of 8 bytes."""
    _parse_object(config, "config")
    about = {"format": "fastbp", "version": str(_VERSION), "config": config, "sha256": _NO_DIGEST}
    text = _to_json({"__metadata__": about, **entries})
    text += " " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise FormatError(f"the header would take {len(text)} bytes; it can have {_MAX_HEADER}")
    return text


def decode(file, size):
    """Return the tensors and the configuration in an unbuffered binary `file` of `size` bytes.

    Whatever is wrong with the content is a ValueError or a RecursionError.
    """
    if size < 8:
        raise FormatError(f"{size} bytes are too few for a model file")
    length = _fill(file, bytearray(8))
    header_size, limit = int.from_bytes(length, "little"), min(size - 8, _MAX_HEADER)
    if header_size > limit:
        raise FormatError(f"not a model file, or cut short: it announces a header of {header_size} bytes, "
                          f"more than the {limit} that it can have")
    header = bytes(_fill(file, bytearray(header_size)))
    about, layout = _parse_header(header, size - 8 - header_size)
    text = header.decode().replace(_DIGEST % about["sha256"], _DIGEST % _NO_DIGEST)
    # The layout has been found to add up to the file's own size: only now is memory taken for it.
    arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in layout.items()}
    payload = [_fill(file, _bytes_of(array)) for array in arrays.values()]
    if _digest(length, text, payload) != about["sha256"]:
        raise FormatError("the file is damaged: its SHA-256 digest does not match its bytes")
    for name, array in arrays.items():
        if array.dtype == bool and _bytes_of(array).max(initial=0) > 1:
            raise FormatError(f"tensor {name!r} holds a BOOL that is neither 0 nor 1")
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return arrays, _parse_object(about["config"], "config")


def _parse_header(header, payload_size):
    """Return the metadata and, by tensor name, [dtype, shape]; the tensors fill the payload end to end."""
    text = header.decode("ascii")
    body = text.rstrip(" ")
    if len(text) % 8 or len(text) - len(body) > 7:
        raise FormatError("the header is not padded with spaces to the next multiple of 8 bytes")
    entries = _parse_object(body, "header")
    about = entries.pop("__metadata__", None)
    _check_metadata(about)
    layout, end = {}, 0
    for name, entry in entries.items():
        *layout[name], end = _parse_entry(name, entry, end)
    if end != payload_size:
        raise FormatError(f"the tensors take {end} bytes, but {payload_size} bytes follow the header")
    return about, layout


def _check_metadata(about):
    if not isinstance(about, dict) or about.get("format") != "fastbp":
        raise FormatError('not a fastbp model: the header\'s __metadata__ has no "format":"fastbp"')
    if not all(isinstance(value, str) for value in about.values()):
        raise FormatError("a value in the header's __metadata__ is not a string")
    version = about.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise FormatError(f"format version {reprlib.repr(version)} is not a positive whole number")
    if int(version) > _VERSION:
        raise FormatError(f"format version {version} is newer than version {_VERSION}, the newest that this "
                          "fastbp reads: a newer fastbp is needed")
    if about.keys() != _METADATA.keys():
        raise FormatError(f"the header's __metadata__ must have these keys only: {', '.join(_METADATA)}")
    if not re.fullmatch("[0-9a-f]{64}", about["sha256"]):
        raise FormatError("the SHA-256 digest is not 64 lower-case hexadecimal digits")


def _parse_entry(name, entry, begin):
    """Return dtype, shape and end of the tensor that must begin at `begin`."""
    tensor = f"tensor {reprlib.repr(name)}"
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise FormatError(f"{tensor} has a name that is not letters, digits and underscores with single dots "
                          f"between them, {_MAX_NAME} characters at most")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{tensor} must have dtype, shape and data_offsets and nothing else")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise FormatError(f"{tensor} has dtype {reprlib.repr(code)}; accepted: {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMS or not all(map(is_count, shape)):
        raise FormatError(f"{tensor} has shape {reprlib.repr(shape)}; accepted: a list of at most "
                          f"{_MAX_DIMS} whole numbers, none negative")
    dtype = _DTYPES[code]
    # NumPy refuses an empty array whose other dimensions overflow.
    if math.prod(dim or 1 for dim in shape) * dtype.itemsize > sys.maxsize:
        raise FormatError(f"{tensor} has shape {reprlib.repr(shape)}, too large for any memory")
    end = begin + math.prod(shape) * dtype.itemsize
    if offsets != [begin, end] or not all(map(is_count, offsets)):
        raise FormatError(f"{tensor} has data_offsets {reprlib.repr(offsets)}; to fit its shape and follow "
                          f"the tensor before it without gap or overlap, they must be {[begin, end]}")
    return dtype, tuple(shape), end


def _parse_object(text, what):
    """Return the JSON object in a text that is spelled as `_to_json` spells it, to the byte.

    No two readers can differ about such a text: it has no duplicate key, white space, NaN, 1e400 or -0, all
    of which `json.loads` accepts.
    """
    try:
        value = json.loads(text)
        canonical = _to_json(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the {what} is not valid JSON: {error}") from None
    if canonical != text:
        raise FormatError(f"the {what} is not canonical JSON: it has a duplicate key, white space, or a "
                          "value in an unusual spelling")
    if not isinstance(value, dict):
        raise FormatError(f"the {what} is not a JSON object")
    return value


def _to_json(value):
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def is_count(value):
    return type(value) is int and value >= 0  # a bool is no count


def _to_little_endian(name, tensor):
    tensor = np.asarray(tensor)
    dtype = tensor.dtype.newbyteorder("<")
    if dtype not in _CODES:
        raise TypeError(f"tensor {name!r} has dtype {tensor.dtype}; accepted: {', '.join(map(str, _CODES))}")
    return np.asarray(tensor, dtype, order="C")


def _bytes_of(array):
    return array.reshape(-1).view(np.uint8)


def _digest(length, text, payload):
    """Return the digest of a file whose header `text` has _NO_DIGEST in the digest's place."""
    import hashlib  # OpenSSL: 3 ms of an import of the package
    digest = hashlib.sha256(length + text.encode())
    for data in payload:
        digest.update(data)
    return digest.hexdigest()


def _fill(file, buffer):
    view = memoryview(buffer)
    while view:
        count = file.readinto(view)
        if not count:
            raise FormatError("the file became shorter while it was read")
        view = view[count:]
    return buffer
