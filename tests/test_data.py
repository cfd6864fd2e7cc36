"""Data sets: what the splits hold, what the seed decides, and what a damaged file is told."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import struct
import sys
import tarfile
import threading

import numpy as np
import pytest

from neurolearn import data
from neurolearn.data import cifar10, files, idx, yin_yang
from neurolearn.data.dataset import SPLITS, Dataset, one_hot
from neurolearn.errors import InputError

BUILT_IN = ("yin_yang", "digits")
# The published image sets are tens of megabytes that belong to others, so they are never committed, and no test uses a
# network: these tests read the files where somebody has them. Readers are tested on files made here in any case.
with_files = pytest.mark.skipif(
    "NEUROLEARN_DATA" not in os.environ, reason="the published image files are not here; NEUROLEARN_DATA says where they are"
)


def rows(x):
    return sorted(map(bytes, np.ascontiguousarray(x)))


def test_names_lists_what_load_accepts():
    assert data.NAMES == ("yin_yang", "digits", "mnist", "fashion_mnist", "cifar10")
    with pytest.raises(InputError, match="no data set 'cifar'; choose one of yin_yang, digits, mnist, fashion_mnist"):
        data.load("cifar")


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0.5}, {"seed": True}, {"limit": 0}, {"limit": 2.0}])
def test_an_unusable_argument_is_named_with_its_value(arguments):
    ((field, value),) = arguments.items()
    with pytest.raises(InputError, match=f"{field} is {value!r}; give"):
        data.load("yin_yang", **arguments)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_seed_decides_everything_and_numpy_is_left_alone(name):
    np.random.seed(5)  # noqa: NPY002
    first = data.load(name, seed=3)
    np.random.seed(6)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again, other = data.load(name, seed=3), data.load(name, seed=4)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    for split in SPLITS:
        for kind in "xy":
            field = f"{kind}_{split}"
            assert np.array_equal(getattr(first, field), getattr(again, field))
            assert not np.array_equal(getattr(first, field), getattr(other, field))


@pytest.mark.parametrize("name", BUILT_IN)
def test_limit_keeps_the_first_training_samples_and_every_other_split(name):
    whole, some = data.load(name), data.load(name, limit=50)
    assert np.array_equal(some.x_train, whole.x_train[:50])
    assert np.array_equal(some.y_train, whole.y_train[:50])
    assert np.array_equal(some.x_valid, whole.x_valid)
    assert np.array_equal(some.x_test, whole.x_test)
    assert len(data.load(name, limit=10**6).x_train) == len(whole.x_train)


def test_digits_deals_out_every_sample_of_scikit_learn_once_and_every_class_in_its_share():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    digits = data.load("digits", seed=1)
    dealt = np.vstack([digits.x_train, digits.x_valid, digits.x_test])
    assert rows(np.hstack([dealt, np.concatenate([digits.labels(split) for split in SPLITS])[:, None]])) == rows(
        np.hstack([pixels / 16, labels[:, None]])
    )
    assert 0.0 == dealt.min() < dealt.max() == 1.0
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        counts = np.bincount(digits.labels(split), minlength=10)
        assert np.abs(counts - share * np.bincount(labels)).max() <= 1.0
        assert abs(counts.sum() - share * len(labels)) <= 2.0
        begin = np.bincount(digits.labels(split)[:100], minlength=10)  # a fair draw: 10 of each, give or take 3 s.d.
        assert begin.min() >= 1
        assert begin.max() <= 19


def test_yin_yang_sizes_and_disjoint_splits():
    sets = data.load("yin_yang")
    assert [getattr(sets, f"x_{split}").shape for split in SPLITS] == [(3000, 4), (1000, 4), (1000, 4)]
    points = rows(np.vstack([sets.x_train, sets.x_valid, sets.x_test]))
    assert len(set(points)) == 5000
    assert np.allclose(sets.x_train[:, :2] + sets.x_train[:, 2:], 1.0, atol=1e-15)


def test_yin_yang_classes_are_the_sides_of_one_s_curve():
    """Independent of the code: in the disc |u + iv| < 1/2, yin lies above the curve that follows the lower half of the
    left half-size circle and the upper half of the right one; the dots lie about -1/4 and 1/4."""
    sets = data.load("yin_yang", seed=2)
    u, v = sets.x_train[:, 0] - 0.5, sets.x_train[:, 1] - 0.5
    curve = np.sign(u) * np.sqrt(np.maximum(1 / 16 - (np.abs(u) - 1 / 4) ** 2, 0))
    dot = (np.abs(u) - 1 / 4) ** 2 + v**2 < 0.1**2
    assert (u**2 + v**2 <= 1 / 4).all()
    assert np.array_equal(sets.labels("train"), np.where(dot, 2, np.where(v > curve, 0, 1)))


def test_yin_yang_classes_are_balanced_and_each_is_filled_evenly():
    x, labels = yin_yang.sample(30_000, np.random.default_rng(0))
    assert np.abs(np.bincount(labels) / 30_000 - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 30_000)
    left = np.hypot(x[:, 0] - 0.25, x[:, 1] - 0.5) < 0.25
    expected = (0.25**2 - 0.1**2) / (0.5**2 / 2 - 0.1**2)  # areas: ring about the left dot, over yin
    n = (labels == 0).sum()
    assert abs(left[labels == 0].mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / n)
    assert not left[labels == 1].any()
    assert abs((x[labels == 2, 0] < 0.5).mean() - 0.5) < 4 * np.sqrt(0.25 / (labels == 2).sum())


def test_yin_yang_region_knows_the_outside():
    inside = yin_yang.region(np.array([0.5, 0.25, 0.5, 0.5]), np.array([0.9, 0.5, 0.1, 0.999]))
    assert inside.tolist() == [0, 2, 1, 0]
    assert yin_yang.region(np.array([0.0, 0.99]), np.array([0.0, 0.8])).tolist() == [-1, -1]


@pytest.mark.parametrize(("name", "least", "most"), [("yin_yang", 0.60, 0.72), ("digits", 0.93, 0.99)])
def test_how_far_a_linear_classifier_gets(name, least, most):
    from sklearn.linear_model import LogisticRegression

    sets = data.load(name)
    linear = LogisticRegression(max_iter=5000).fit(sets.x_train, sets.labels("train"))
    assert least < linear.score(sets.x_test, sets.labels("test")) < most


def test_one_class_against_the_rest_is_a_regression_on_its_column():
    sets = data.load("yin_yang", limit=30)
    dot = sets.one_against_the_rest(2)
    assert repr(dot) == "Dataset('yin_yang, one against the rest': 30 train, 1000 valid, 1000 test; 4 features, 1 target(s))"
    for split in SPLITS:
        assert np.array_equal(getattr(dot, f"y_{split}")[:, 0], (sets.labels(split) == 2) * 1.0)
        assert getattr(dot, f"x_{split}") is getattr(sets, f"x_{split}")
    with pytest.raises(InputError, match="is a regression and has no labels; its targets are y_test"):
        dot.labels("test")


@pytest.mark.parametrize("wrong", [np.ones((4, 2)), np.ones(4), np.full((4, 1), np.nan), np.ones((4, 1), int), np.ones((3, 1))])
def test_targets_that_do_not_fit_are_refused(wrong):
    x, y = np.zeros((4, 3)), np.ones((4, 1))
    Dataset("toy", x, y, x, y, x, y, ())
    with pytest.raises(InputError, match=r"y_test of toy is .*; give finite float64 numbers, one row for each of its 4"):
        Dataset("toy", x, y, x, y, x, wrong, ())


def test_a_dataset_refuses_what_does_not_fit():
    x, labels = np.zeros((4, 3)), np.array([0, 1, 1, 0])
    good = {"train": (x, labels), "valid": (x, labels), "test": (x, labels)}
    whole = Dataset.from_labels("toy", ("a", "b"), **good)
    assert repr(whole) == "Dataset('toy': 4 train, 4 valid, 4 test; 3 features, 2 classes)"
    assert whole.labels("test").tolist() == labels.tolist()
    with pytest.raises(InputError, match="split is 'tset'; choose one of train, valid, test"):
        whole.labels("tset")
    for split, pair, said in [
        ("valid", (x.astype(np.float32), labels), "x_valid of toy is float32"),
        ("test", (x[:, :2], labels), r"x_test of toy is float64 \(4, 2\)"),
        ("train", (np.full((4, 3), np.nan), labels), "finite"),
        ("test", (x[:0], labels[:0]), "n >= 1"),
        ("test", (x[:3], labels), r"y_test of toy is float64 \(4, 2\)"),
        ("test", (x, labels + 1), r"labels are int64 .* largest \[2\].*; give integers from 0 to 1"),
    ]:
        with pytest.raises(InputError, match=said):
            Dataset.from_labels("toy", ("a", "b"), **good | {split: pair})
    with pytest.raises(InputError, match="one-hot"):
        Dataset("toy", x, np.ones((4, 2)), x, whole.y_valid, x, whole.y_test, ("a", "b"))
    with pytest.raises(InputError, match="integers from 0 to 1"):
        one_hot(np.array([0.0, 1.0]), 2)


# Files. Small ones, made here, stand for the published ones.


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def records(numbers):
    """CIFAR-10 records of images whose pixels are all k and whose label is k mod 10, for k in numbers."""
    return b"".join(bytes([k % 10] + [k] * 3072) for k in numbers)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with 30 + 10 images in the layouts of MNIST and CIFAR-10; the pixels of image k are all k."""
    monkeypatch.setenv("NEUROLEARN_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for stem, size in (("train", 30), ("t10k", 10)):
        numbers = np.arange(size, dtype=np.uint8)
        pixels = np.tile(numbers[:, None, None], (1, 28, 28))
        (tmp_path / "mnist" / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx_bytes(pixels))
        (tmp_path / "mnist" / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx_bytes(numbers % 10))
    (tmp_path / "cifar-10").mkdir()
    for name, numbers in (("data_batch_1", range(15)), ("data_batch_2", range(15, 30)), ("test_batch", range(10))):
        (tmp_path / "cifar-10" / f"{name}.bin").write_bytes(records(numbers))
    return tmp_path


@pytest.mark.parametrize(("name", "title", "features"), [
    ("mnist", "mnist subset, 30/10", 784), ("cifar10", "cifar10 subset, 30/10", 3072),
])
def test_images_are_split_scaled_and_keep_their_labels(folder, name, title, features):
    sets = data.load(name, seed=1)
    assert sets.name == title
    assert [getattr(sets, f"x_{split}").shape for split in SPLITS] == [(20, features), (10, features), (10, features)]
    numbers = {split: np.rint(getattr(sets, f"x_{split}")[:, 0] * 255).astype(int) for split in SPLITS}
    assert sorted([*numbers["train"], *numbers["valid"]]) == list(range(30))
    assert numbers["test"].tolist() == list(range(10))
    for split in SPLITS:
        assert np.array_equal(sets.labels(split), numbers[split] % 10)
        assert (getattr(sets, f"x_{split}") == numbers[split][:, None] / 255).all()
    assert np.array_equal(data.load(name, seed=1, limit=7).x_train, sets.x_train[:7])
    assert not np.array_equal(data.load(name, seed=2).x_train, sets.x_train)


@pytest.mark.parametrize(("damage", "said"), [
    (lambda raw: raw[:-9], "not a complete gzip file"),
    (lambda raw: gzip.decompress(raw), "not a complete gzip file"),
    (lambda raw: raw[:40] + bytes([raw[40] ^ 255]) + raw[41:], "not a complete gzip file"),
    (lambda raw: gzip.compress(gzip.decompress(raw)[:-5]), "holds 23515 bytes of data; expected 30 x 28 x 28 = 23520"),
    (lambda raw: gzip.compress(b"\x89PNG\r\n"), "begins with the bytes 89 50 4e 47; expected an IDX header"),
    (lambda raw: gzip.compress(b""), r"begins with the bytes \(none\); expected an IDX header"),
    (lambda raw: idx_bytes(np.zeros((30, 32, 32), np.uint8)), r"holds an array \(30, 32, 32\); expected images"),
    (lambda raw: idx_bytes(np.zeros((29, 28, 28), np.uint8)), r"one label from 0 to 9 for each image.*\(29,\)"),
])
def test_a_damaged_idx_file_is_named_with_what_was_expected(folder, damage, said):
    path = folder / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=said) as caught:
        data.load("mnist")
    assert path.name in str(caught.value)


def test_a_label_above_nine_is_refused(folder):
    path = folder / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(idx_bytes(np.full(10, 10, np.uint8)))
    with pytest.raises(InputError, match=f"{path.name}.*values up to 10; expected one label from 0 to 9"):
        data.load("mnist")


def test_a_damaged_cifar_batch_is_named_with_what_was_expected(folder):
    path = folder / "cifar-10" / "data_batch_2.bin"
    good = path.read_bytes()
    for content, said in [
        (good[:-1], f"{path} has {len(good) - 1} bytes; expected whole records of 3073"),
        (b"", "has 0 bytes"),
        (b"\x0b" + good[1:], "has the label 11; expected labels from 0 to 9"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            data.load("cifar10")


def test_the_published_cifar_archive_reads_like_its_files(folder):
    whole = data.load("cifar10")
    contents = [*(records(range(k, k + 6)) for k in range(0, 30, 6)), records(range(10))]
    archive = folder / "cifar-10" / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in zip(cifar10.MEMBERS, contents, strict=True):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    for path in (folder / "cifar-10").glob("*.bin"):
        path.unlink()
    packed = data.load("cifar10")
    assert np.array_equal(packed.x_train, whole.x_train)
    assert np.array_equal(packed.y_test, whole.y_test)
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(InputError, match=r"cifar-10-binary.tar.gz is damaged .*; expected a gzipped tar of .*_batch"):
        data.load("cifar10")


def test_a_test_set_as_large_as_the_training_set_leaves_nothing_to_train_on(folder):
    for path in (folder / "cifar-10").glob("data_batch_*.bin"):
        path.write_bytes(records(range(5)))
    with pytest.raises(InputError, match="10 training and 10 test images"):
        data.load("cifar10")


# Fetching. A server on this computer stands for the mirrors.


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Serves tmp_path/site; yields its address. The cache is tmp_path/cache and NEUROLEARN_DATA is unset."""
    pytest.importorskip("pooch")
    monkeypatch.delenv("NEUROLEARN_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file.gz").write_bytes(b"content")
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once_checked_and_kept(mirror, tmp_path):
    checksums = {"file.gz": hashlib.md5(b"content").hexdigest()}
    (path,) = files.locate("set", mirror, checksums)
    assert path == tmp_path / "cache" / "neurolearn" / "set" / "file.gz"
    assert path.read_bytes() == b"content"
    (tmp_path / "site" / "file.gz").unlink()
    assert files.locate("set", mirror, checksums) == [path]


def test_a_file_that_is_not_the_published_one_is_refused(mirror, tmp_path):
    with pytest.raises(InputError, match=rf"What {mirror}file.gz sent is not .* published as set/file.gz"):
        files.locate("set", mirror, {"file.gz": "0" * 32})
    assert not list((tmp_path / "cache").rglob("file.gz"))


def test_without_a_network_the_error_says_where_to_put_which_files(mirror):
    said = r"other.gz could not be fetched from .* set NEUROLEARN_DATA .* contains set/ with other.gz, b.gz"
    with pytest.raises(InputError, match=said):
        files.locate("set", mirror, {"other.gz": "0" * 32, "b.gz": "0" * 32})


def test_without_pooch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLEARN_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(InputError, match=r'pip install "neurolearn\[data\]".*contains mnist/ with train-images-idx3'):
        data.load("mnist")


def test_a_data_folder_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLEARN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"NEUROLEARN_DATA is '.*nowhere', which is not a folder"):
        data.load("mnist")


# The real sets, where they are.


@with_files
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_as_published(name):
    sets = data.load(name)
    assert sets.name == name
    assert [getattr(sets, f"x_{split}").shape for split in SPLITS] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert 0.0 == sets.x_test.min() < sets.x_test.max() == 1.0
    labels = np.concatenate([sets.labels("train"), sets.labels("valid")])
    if name == "mnist":
        assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(sets.labels("test")).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    else:
        assert np.bincount(labels).tolist() == [6000] * 10
        assert np.bincount(sets.labels("test")).tolist() == [1000] * 10


@with_files
def test_mnist_images_are_the_published_bytes():
    folder = files.given("mnist")
    for stem, md5 in (("train", "6bbc9ace898e44ae57da46a324031adb"), ("t10k", "2646ac647ad5339dbf082846283269ea")):
        raw = gzip.decompress((folder / f"{stem}-images-idx3-ubyte.gz").read_bytes())
        assert hashlib.md5(raw).hexdigest() == md5
        assert idx.read(folder / f"{stem}-images-idx3-ubyte.gz").tobytes() == raw[16:]


@with_files
def test_a_part_of_cifar10_says_so_in_its_name():
    sets = data.load("cifar10", limit=100)
    sizes = len(data.load("cifar10").x_train) + len(sets.x_valid), len(sets.x_test)
    assert sets.x_train.shape == (100, 3072)
    assert sets.name == {
        (50_000, 10_000): "cifar10",
        (10_000, 2_000): "CIFAR-10 subset (JPEG copy), 10k/2k",
    }.get(sizes, f"cifar10 subset, {sizes[0]}/{sizes[1]}")
    assert abs(sets.x_test.mean() - 0.473) < 0.02  # the published mean pixel of CIFAR-10, over the three colours
