# SPDX-License-Identifier: Apache-2.0
"""Sample files: matched by name or order, quantised, turned from NCHW, refused in one sentence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgesdk import samples
from edgesdk.errors import UsageError
from edgesdk.samples import InputSpec

FLOATS = InputSpec("x", (1, 4), "float32")
BYTES = InputSpec("q", (1, 4), "int8", 0.5, -3)


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "samples.npz"
    path.write_bytes(samples.pack(arrays))
    return path


def test_one_list_per_sample(tmp_path: Path) -> None:
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    got = samples.load(npz(tmp_path, x=a), [FLOATS])
    assert [len(s) for s in got] == [1, 1, 1]
    assert all(s[0].shape == (1, 4) and np.array_equal(s[0][0], row) for s, row in zip(got, a, strict=True))


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 4)])
def test_batch_axis_may_be_left_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert samples.load(npz(tmp_path, x=np.ones(shape, np.float32)), [FLOATS])[1][0].shape == (1, 4)


def test_matched_by_name_before_order(tmp_path: Path) -> None:
    raw, real = np.full((1, 4), 7, np.int8), np.ones((1, 4), np.float32)
    by_name = samples.load(npz(tmp_path, labels=np.zeros(1, np.int64), q=raw, x=real), [FLOATS, BYTES])[0]
    by_order = samples.load(npz(tmp_path, a=real, b=raw, labels=np.zeros(1)), [FLOATS, BYTES])[0]
    for first, second in (by_name, by_order):
        assert np.array_equal(first, real) and np.array_equal(second, raw)


def test_raw_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    raw = np.array([[-128, -1, 0, 127]], np.int8)
    assert np.array_equal(samples.load(npz(tmp_path, q=raw), [BYTES])[0][0], raw)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_quantised(tmp_path: Path, dtype: object) -> None:
    real = np.array([[0.25, -0.25, 1e4, -1e4]], dtype)  # halves away from zero, then saturation
    assert samples.load(npz(tmp_path, q=real), [BYTES])[0][0].tolist() == [[-2, -4, 127, -128]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_numbers_become_float32(tmp_path: Path, dtype: type) -> None:
    got = samples.load(npz(tmp_path, x=np.array([[0, 1, 2, 255]], dtype)), [FLOATS])[0][0]
    assert got.dtype == np.float32 and got.tolist() == [[0, 1, 2, 255]]


@pytest.mark.parametrize("shape", [(1, 2, 5, 3), (1, 3, 3, 3), (1, 4, 4, 1), (2, 2, 5, 3)])
@pytest.mark.parametrize("batch_axis", [True, False])
def test_channels_first(tmp_path: Path, shape: tuple[int, ...], batch_axis: bool) -> None:
    b, h, w, c = shape
    a = np.arange(3 * b * h * w * c, dtype=np.float32).reshape(3, b, c, h, w)
    given = a if batch_axis or b > 1 else a[:, 0]
    got = samples.load(npz(tmp_path, x=given), [InputSpec("x", shape, "float32", layout="NCHW")])
    assert np.array_equal(np.stack([s[0] for s in got]), a.transpose(0, 1, 3, 4, 2))


def test_signals_with_channels_first(tmp_path: Path) -> None:
    a = np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)
    spec = InputSpec("x", (1, 4, 3), "float32", layout="NCL")
    for given in (a, a[:, 0]):
        got = samples.load(npz(tmp_path, x=given), [spec])
        assert np.array_equal(np.stack([s[0] for s in got]), a.transpose(0, 1, 3, 2))


def test_channels_last_is_taken_where_it_cannot_be_meant_otherwise(tmp_path: Path) -> None:
    a = np.arange(30, dtype=np.float32).reshape(1, 2, 5, 3)
    got = samples.load(npz(tmp_path, x=a), [InputSpec("x", (1, 2, 5, 3), "float32", layout="NCHW")])
    assert np.array_equal(got[0][0], a)


BAD = {
    "shape": ({"x": np.zeros((2, 5), np.float32)}, "expected (4,)"),
    "batch": ({"x": np.zeros((2, 3, 4), np.float32)}, "expected (4,)"),
    "no samples": ({"x": np.zeros((0, 4), np.float32)}, "at least 1"),
    "no axis": ({"x": np.float32(1)}, "at least 1"),
    "no arrays": ({}, "expected 1: x"),
    "complex": ({"x": np.zeros((1, 4), complex)}, "expected float32"),
    "text": ({"x": np.array([["a", "b", "c", "d"]])}, "expected float32"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(tmp_path: Path, case: str) -> None:
    arrays, expected = BAD[case]
    with pytest.raises(UsageError) as caught:
        samples.load(npz(tmp_path, **{k: np.asarray(v) for k, v in arrays.items()}), [FLOATS])
    assert expected in str(caught.value) and "samples.npz" in str(caught.value)


def test_images_of_another_rank(tmp_path: Path) -> None:
    spec = InputSpec("x", (1, 2, 5, 3), "float32", layout="NCHW")
    with pytest.raises(UsageError, match=r"expected \(2, 5, 3\)"):
        samples.load(npz(tmp_path, x=np.zeros((1, 2, 3, 2, 5), np.float32)), [spec])


def test_different_numbers_of_samples(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[1, 2\] samples"):
        samples.load(npz(tmp_path, x=np.zeros((1, 4), np.float32), q=np.zeros((2, 4), np.int8)), [FLOATS, BYTES])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nan_is_not_quantised(tmp_path: Path, wrong: float) -> None:
    with pytest.raises(UsageError, match="NaN or infinity"):
        samples.load(npz(tmp_path, q=np.array([[0, 1, wrong, 2]])), [BYTES])


def test_integers_of_another_type_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is uint8; expected int8 or floats"):
        samples.load(npz(tmp_path, q=np.zeros((1, 4), np.uint8)), [BYTES])


def bare_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 4), np.float32))
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{}], object))
    return buffer.getvalue()


def zip_of(member: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, data)
    return buffer.getvalue()


def broken_deflate() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(4000, dtype=np.float32).reshape(1000, 4))
    data = bytearray(buffer.getvalue())
    data[200:260] = bytes(60)
    return bytes(data)


FILES = {
    "empty": b"",
    "text": b"image,label\n1,2\n",
    "bare array": bare_array(),
    "pickle": pickled(),
    "not an array inside": zip_of("x", b"hello"),
    "array cut off": zip_of("x.npy", bare_array()[:-3]),
    "header damaged": zip_of("x.npy", b"\x93NUMPY\x01\x00v\x00{'descr': 'f9'" + bytes(200)),
    "huge claim": zip_of("x.npy", bare_array().replace(b"(1, 4), }      ", b"(9999999999,4)}")),
    "deflate damaged": broken_deflate(),
    "cut off": samples.pack({"x": np.zeros((9, 4), np.float32)})[:-30],
}


@pytest.mark.parametrize("case", FILES)
def test_unreadable_files(tmp_path: Path, case: str) -> None:
    path = tmp_path / "samples.npz"
    path.write_bytes(FILES[case])
    with pytest.raises(UsageError, match=r"samples\.npz"):
        samples.load(path, [FLOATS])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(UsageError, match="no such file|a folder of images is for"):
            samples.load(path, [FLOATS])


def test_labels_of_every_kind_of_file(tmp_path: Path) -> None:
    wanted = np.array([3, 1, 2])
    np.save(tmp_path / "a.npy", wanted)
    (tmp_path / "b.npz").write_bytes(samples.pack({"x": np.zeros((3, 4)), "labels": wanted.astype(np.uint8)}))
    (tmp_path / "c.npz").write_bytes(samples.pack({"y": wanted}))
    (tmp_path / "d.txt").write_text("3\n1\n2\n")
    (tmp_path / "e.csv").write_text("a.png,3\nb.png,1\n\nc.png,2")
    for name in ("a.npy", "b.npz", "c.npz", "d.txt", "e.csv"):
        assert np.array_equal(samples.load_labels(tmp_path / name, 3), wanted), name


@pytest.mark.parametrize(
    "content", [b"", b"1\n2\n", b"one\ntwo\nthree\n", b"\xff\xfe\x00", b"1.5\n2\n3\n", b"1\n2\n3\n4\n"]
)
def test_bad_labels(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"labels\.txt"):
        samples.load_labels(path, 3)


@pytest.mark.parametrize("array", [np.array(["a", "b", "c"]), np.array([0.0, np.nan, 1.0]), np.zeros((3, 1), int)])
def test_labels_that_are_no_class_numbers(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "labels.npy", array)
    with pytest.raises(UsageError, match="expected 3 integers"):
        samples.load_labels(tmp_path / "labels.npy", 3)


def test_packed_arrays_keep_any_name(tmp_path: Path) -> None:
    arrays = {n: np.arange(3, dtype=np.int8) for n in ("file", "args", "a/b:0", "ü")}
    with np.load(io.BytesIO(samples.pack(arrays))) as archive:
        assert {n: archive[n].tolist() for n in archive.files} == {n: [0, 1, 2] for n in arrays}


def test_outputs_go_back_to_channels_first() -> None:
    runs = [[np.arange(24).reshape(1, 2, 4, 3) + i, np.zeros((1, 5)), np.zeros((1, 7, 2))] for i in range(2)]
    got = samples.stack(runs, ["image", "scores", "signal"], {"image": "NCHW", "signal": "NCL"})
    assert got["signal"].shape == (2, 1, 2, 7)
    assert got["image"].shape == (2, 1, 3, 2, 4) and got["scores"].shape == (2, 1, 5)
    assert np.array_equal(got["image"][1, 0].transpose(1, 2, 0), runs[1][0][0])


def test_random_sample_is_the_same_every_time() -> None:
    specs = [FLOATS, BYTES, InputSpec("u", (3,), "uint8")]
    first, second = samples.random_sample(specs), samples.random_sample(specs)
    for a, b, s in zip(first, second, specs, strict=True):
        assert a.shape == s.shape and a.dtype == s.dtype and np.array_equal(a, b)
