"""IDX, the format of MNIST: two zero bytes, a type, a number of dimensions, the dimensions, the data; all gzipped.

Source: LeCun, Cortes & Burges, the description beside the MNIST files. Numbers are big-endian.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from neurolearn.errors import InputError

UNSIGNED_BYTES = b"\x00\x00\x08"


def read(path: Path) -> np.ndarray:
    """Read the array of unsigned bytes in the gzipped IDX file ``path``, in its own shape.

    Raises InputError, with what was expected, if the file is missing, damaged, cut short, or of another kind.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a complete gzip file ({error}); get it again.") from error
    start = 4 + 4 * raw[3] if len(raw) > 3 else 4
    if raw[:3] != UNSIGNED_BYTES or len(raw) < start:
        raise InputError(
            f"{path} begins with the bytes {raw[:4].hex(' ') or '(none)'}; expected an IDX header of unsigned bytes, "
            "00 00 08, a number of dimensions, and the dimensions."
        )
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    data = np.frombuffer(raw, np.uint8, offset=start)
    if data.size != math.prod(shape):
        raise InputError(
            f"{path} holds {data.size} bytes of data; expected {' x '.join(map(str, shape))} = {math.prod(shape)} "
            "as its header says. Get it again."
        )
    return data.reshape(shape)
