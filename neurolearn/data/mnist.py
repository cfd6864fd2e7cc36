"""MNIST and Fashion-MNIST: 60 000 + 10 000 grey images of 28 x 28 pixels, in ten classes.

Sources: LeCun, Cortes & Burges, MNIST; Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747. Checksums are of
the gzipped files as published, and are held against what was fetched; a copy in ``$NEUROLEARN_DATA`` may be compressed
differently and is checked by its header, its length, gzip's own checksum and the shapes below.
"""

from __future__ import annotations

from pathlib import Path

from neurolearn.data import idx, images
from neurolearn.data.dataset import Dataset
from neurolearn.data.files import locate
from neurolearn.errors import InputError

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
DIGITS = tuple("0123456789")

FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
GARMENTS = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

PUBLISHED = (60_000, 10_000)  # training and test images of either


def load_mnist(seed: int, limit: int | None) -> Dataset:
    """Handwritten digits; 50 000 to train, 10 000 to validate, 10 000 to test; 784 features."""
    return _load("mnist", DIGITS, locate("mnist", MNIST_URL, MNIST_MD5), seed, limit)


def load_fashion_mnist(seed: int, limit: int | None) -> Dataset:
    """Pictures of garments, in the sizes of MNIST."""
    return _load("fashion_mnist", GARMENTS, locate("fashion-mnist", FASHION_URL, FASHION_MD5), seed, limit)


def _load(name: str, classes: tuple[str, ...], paths: list[Path], seed: int, limit: int | None) -> Dataset:
    train, test = _read(*paths[:2]), _read(*paths[2:])
    return images.split(name, classes, train, test, titles={PUBLISHED: name}, seed=seed, limit=limit)


def _read(image_file: Path, label_file: Path) -> images.Images:
    pixels, labels = idx.read(image_file), idx.read(label_file)
    if pixels.shape[1:] != (28, 28):
        raise InputError(f"{image_file} holds an array {pixels.shape}; expected images, (n, 28, 28).")
    if labels.shape != pixels.shape[:1] or labels.max(initial=0) > 9:
        raise InputError(
            f"{label_file} holds an array {labels.shape} with values up to {labels.max(initial=0)}; expected one label "
            f"from 0 to 9 for each image of {image_file.name}, ({len(pixels)},)."
        )
    return pixels, labels
