"""Checkpoints are whole or not there: round trips, damage, other runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_runs import ARRAYS, FEW

from neurolearn.errors import InputError, RunError
from neurolearn.runs import checkpoint

# -- checkpoints -------------------------------------------------------------------------------------------------------


ANY = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(["f8", "f4", "i8", "i4", "u1", "u8", "?", ">f8", ">i4"]).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)


@FEW
@given(arrays=ANY, meta=st.dictionaries(st.text(), JSON, max_size=3))
def test_arrays_and_meta_come_back_as_they_were(unsynchronised, tmp_path_factory, arrays, meta):
    """Bit for bit, not-a-number payloads and the sign of zero too; the shape of 0-d and empty arrays as well."""
    folder = tmp_path_factory.mktemp("checkpoint")
    odd = {f"{name}.T": value.T for name, value in arrays.items()} | {f"{n}[::2]": v[..., ::2] for n, v in arrays.items() if v.ndim}
    checkpoint.save(folder, arrays | odd, meta, segment=3)
    found = checkpoint.load(folder)
    assert (found.segment, found.meta) == (3, meta)
    assert set(found.arrays) == set(arrays | odd)
    for name, value in (arrays | odd).items():
        back = found.arrays[name]
        assert (back.shape, back.dtype) == (value.shape, value.dtype.newbyteorder("="))
        assert back.tobytes() == np.array(value, value.dtype.newbyteorder("="), order="C").tobytes()
        assert back.flags.writeable and back.flags.c_contiguous


def two(folder: Path, **options) -> Path:
    """Checkpoints after segments 1 and 2; the path of the second."""
    checkpoint.save(folder, {**ARRAYS, "w": ARRAYS["w"] - 1}, {"at": 1}, segment=1, **options)
    return checkpoint.save(folder, ARRAYS, {"at": 2}, segment=2, **options)


def test_the_last_two_are_kept_and_nothing_half_written(tmp_path):
    (tmp_path / "checkpoint-00000001.safetensors.partial").write_bytes(b"half")
    for segment in range(1, 6):
        checkpoint.save(tmp_path, ARRAYS, segment=segment)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{n}.safetensors" for n in (4, 5)]


def test_whatever_byte_is_changed_or_cut_off_is_noticed(unsynchronised, tmp_path):
    """Every byte of the file, and every length: the checkpoint before it is what is found, with a warning that says so."""
    newest = two(tmp_path)
    whole = newest.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1:] for n in range(len(whole))]
    other_format = 0
    for data in [*damaged, whole + b"\0"]:
        newest.write_bytes(data)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = checkpoint.load(tmp_path)
            except RunError as error:
                assert "has format" in str(error)  # the one digit of the format: newer versions write another
                other_format += 1
                continue
        assert found.meta == {"at": 1} and np.array_equal(found.arrays["w"], ARRAYS["w"] - 1)
        assert "checkpoint-00000002.safetensors is damaged" in str(said[0].message)
        assert "goes on from checkpoint-00000001.safetensors" in str(said[0].message)
    assert other_format <= 2


def test_if_every_checkpoint_is_damaged_nothing_is_made_up(tmp_path):
    for path in (two(tmp_path), tmp_path / "checkpoint-00000001.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"000002.safetensors is damaged.*000001.safetensors is damaged.*No checkpoint in .* whole"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("what", ["config", "rule"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, what):
    """Not passed over for an older one: that would throw work away."""
    two(tmp_path, identity={"config": "a", "rule": "b"})
    with pytest.raises(RunError, match=rf"000002.safetensors belongs to another {what} \([ab], not c\): start the changed run"):
        checkpoint.load(tmp_path, {"config": "a", "rule": "b", what: "c"})


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    two(tmp_path)
    monkeypatch.undo()
    with pytest.raises(RunError, match="has format 2, and this version of neurolearn reads format 1: go on with the version"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(("arrays", "meta", "sentence"), [
    ({"x": np.array(["a"])}, {}, "the array 'x' is of type <U1, which a checkpoint cannot keep; make it float64"),
    ({"x": np.array([1j])}, {}, "complex128, which a checkpoint cannot keep"),
    ({"x": np.array([None])}, {}, "object, which a checkpoint cannot keep"),
    ({"": np.zeros(1)}, {}, "named ''; give it a name"),
    ({"__metadata__": np.zeros(1)}, {}, "named '__metadata__'"),
    ({}, {"x": np.zeros(1)}, "meta cannot be kept as JSON .*put arrays and numbers that are not finite among the arrays"),
    ({}, {"x": float("nan")}, "meta cannot be kept as JSON"),
])
def test_what_cannot_be_kept_exactly_is_refused(tmp_path, arrays, meta, sentence):
    with pytest.raises(InputError, match=sentence):
        checkpoint.save(tmp_path, arrays, meta, segment=1)
    assert not list(tmp_path.iterdir())
