"""CIFAR-10: colour images of 32 x 32 pixels in ten classes, 50 000 + 10 000, in the binary layout.

A record is one label byte and 3072 pixel bytes: the red, the green and the blue plane, each row by row; features come
in that order. Files, in ``$NEUROLEARN_DATA/cifar-10``: any of data_batch_1.bin to data_batch_5.bin, and test_batch.bin;
or the published archive, which is fetched where they are missing.

Source: Krizhevsky 2009, Learning multiple layers of features from tiny images, and the page of the data set (its md5).
"""

from __future__ import annotations

import tarfile
import zlib

import numpy as np

from neurolearn.data import images
from neurolearn.data.dataset import Dataset
from neurolearn.data.files import given, locate
from neurolearn.errors import InputError

URL = "https://www.cs.toronto.edu/~kriz/"
MD5 = {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"}
LAYOUT = "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or cifar-10-binary.tar.gz"
MEMBERS = [f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32  # bytes
TITLES = {
    (50_000, 10_000): "cifar10",
    (10_000, 2_000): "CIFAR-10 subset (JPEG copy), 10k/2k",  # decoded from JPEG, so its pixels differ slightly
}


def load(seed: int, limit: int | None) -> Dataset:
    """All images that are there, 3072 features each; the name says so where they are a part of CIFAR-10."""
    *batches, test = [_records(where, content) for where, content in _batches()]
    pixels, labels = zip(*batches, strict=True)
    train = np.concatenate(pixels), np.concatenate(labels)
    return images.split("cifar10", CLASSES, train, test, titles=TITLES, seed=seed, limit=limit)


def _batches() -> list[tuple[str, bytes]]:
    """Where each batch was read, and its bytes: the training batches in order, then the test batch."""
    folder = given("cifar-10")
    paths = [*sorted(folder.glob("data_batch_*.bin")), folder / "test_batch.bin"] if folder else []
    if len(paths) > 1 and paths[-1].is_file():
        return [(str(path), path.read_bytes()) for path in paths]
    (archive,) = locate("cifar-10", URL, MD5, layout=LAYOUT)
    try:
        with tarfile.open(archive) as tar:
            return [(f"{member} in {archive}", tar.extractfile(member).read()) for member in MEMBERS]
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError) as error:
        raise InputError(
            f"{archive} is damaged ({error}); expected a gzipped tar of {', '.join(MEMBERS)}. Delete it and try again."
        ) from error


def _records(where: str, content: bytes) -> images.Images:
    if not content or len(content) % RECORD:
        raise InputError(f"{where} has {len(content)} bytes; expected whole records of {RECORD} bytes. Get it again.")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    pixels, labels = records[:, 1:], records[:, 0]
    if labels.max() > 9:
        raise InputError(
            f"{where} has the label {labels.max()}; expected labels from 0 to 9, each before its {RECORD - 1} pixels. "
            "Get it again."
        )
    return pixels, labels
