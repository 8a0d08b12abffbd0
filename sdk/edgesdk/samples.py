# SPDX-License-Identifier: Apache-2.0
"""Sample sets: .npz files with one array per model input, first axis = samples; or folders of images."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesdk import images
from edgesdk.errors import UsageError
from edgesdk.images import Pixels

CHANNELS_FIRST = {"NCHW": -3, "NCL": -2}  # layout -> where its channels are


@dataclass(frozen=True)
class InputSpec:
    """What a model input takes. `layout` "NCHW" or "NCL" means that the source model had channels first."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0
    layout: str = "NHWC"
    pixels: Pixels | None = None  # how pictures are scaled, where it is known


def load(path: Path, specs: Sequence[InputSpec]) -> list[list[np.ndarray]]:
    """Samples of an .npz file, or of a folder of images for a model with one input: one list of
    arrays (one per input) for each sample.

    Arrays are matched by name, else by order. Raw arrays of the input's own dtype are taken as
    they are; float arrays are quantised with the input's scale and zero point.
    """
    arrays = _pictures(path, specs) if path.is_dir() else _arrays(path, specs)
    counts = {a.shape[0] if a.ndim else 0 for a in arrays}
    if len(counts) != 1 or 0 in counts:
        raise UsageError(f"{path}: arrays of {sorted(counts)} samples; expected the same number, at least 1, in each")
    prepared = [_prepare(path, a, s) for a, s in zip(arrays, specs, strict=True)]
    return [[a[i] for a in prepared] for i in range(counts.pop())]


def _pictures(path: Path, specs: Sequence[InputSpec]) -> list[np.ndarray]:
    if len(specs) != 1:
        raise UsageError(f"{path}: a folder of images is for models with one input, this has {len(specs)}; give .npz")
    return [images.load(path, specs[0].shape, specs[0].pixels)]


def _arrays(path: Path, specs: Sequence[InputSpec]) -> list[np.ndarray]:
    try:
        found = _members(path)
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise UsageError(
            f"{path}: {_unreadable(path, error)}; expected an .npz file with one array per model input"
        ) from error
    if all(s.name in found for s in specs):
        return [found[s.name] for s in specs]
    if len(found) < len(specs):
        names = ", ".join(s.name for s in specs)
        raise UsageError(f"{path}: {len(found)} arrays; expected {len(specs)}: {names}")
    return [found[name] for name in list(found)[: len(specs)]]


def _unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return "no such file"
    if path.suffix == ".npy":
        return "a single array, which np.savez would put into an .npz file"
    return f"not a readable .npz file ({error})"


def _members(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path):  # np.load would take a single array as well
        pass
    with np.load(path, allow_pickle=False) as archive:
        return {name: np.asarray(archive[name]) for name in archive.files}


def _prepare(path: Path, a: np.ndarray, spec: InputSpec) -> np.ndarray:
    """[samples, *spec.shape] in the input's dtype."""
    n = a.shape[0]
    item = a.shape[1:]
    squeezed = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape
    if len(spec.shape) == len(spec.layout) and spec.layout in CHANNELS_FIRST:
        b, *extents, c = spec.shape
        # A shape that could be either is taken as the source model's own.
        if item == (b, c, *extents) or (b == 1 and item == (c, *extents)):
            a = np.moveaxis(a, CHANNELS_FIRST[spec.layout], -1)
            item = a.shape[1:]
    if item not in (squeezed, spec.shape):
        raise UsageError(f"{path}: input {spec.name} has samples of shape {item}; expected {squeezed}")
    return _convert(path, np.ascontiguousarray(a).reshape(n, *spec.shape), spec)


def _convert(path: Path, a: np.ndarray, spec: InputSpec) -> np.ndarray:
    if a.dtype == spec.dtype:
        return a
    if spec.dtype == "float32" and a.dtype.kind in "fiu":
        return a.astype(np.float32)
    if spec.scale == 0 and a.dtype.kind in "iub" and np.array_equal(a.astype(spec.dtype), a):
        return a.astype(spec.dtype)  # indices of another width
    if a.dtype.kind == "f" and spec.scale > 0:
        if not np.isfinite(a).all():
            raise UsageError(f"{path}: input {spec.name} holds NaN or infinity; expected finite numbers to quantise")
        info = np.iinfo(spec.dtype)
        scaled = a.astype(np.float64) / spec.scale
        q = np.trunc(scaled + np.copysign(0.5, scaled)) + spec.zero_point
        return np.clip(q, info.min, info.max).astype(spec.dtype)
    raise UsageError(f"{path}: input {spec.name} is {a.dtype}; expected {spec.dtype} or floats to quantise")


def load_labels(path: Path, n: int) -> np.ndarray:
    """`n` class numbers from .npy, .npz (first array) or text (one per line, or the last column of a CSV)."""
    try:
        labels = _read_labels(path)
    except Exception as error:  # as in `_arrays`
        raise UsageError(f"{path}: not readable as labels ({error}); expected one class number per sample") from error
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise UsageError(f"{path}: labels are {labels.dtype} {labels.shape}; expected {n} integers, one per sample")
    return labels.astype(np.int64)


def _read_labels(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix == ".npz":
        found = _members(path)
        return found["labels"] if "labels" in found else next(iter(found.values()))
    return np.array([int(line.split(",")[-1]) for line in path.read_text().split("\n") if line.strip()])


def stack(
    results: Sequence[Sequence[np.ndarray]], names: Sequence[str], layouts: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Outputs of many runs by name, first axis = samples; those that `layouts` names in that order again."""
    stacked = {name: np.stack([r[i] for r in results]) for i, name in enumerate(names)}
    return {
        n: np.moveaxis(a, -1, CHANNELS_FIRST[layouts[n]]) if layouts.get(n) in CHANNELS_FIRST else a
        for n, a in stacked.items()
    }


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file. Unlike np.savez it takes any name, `file` among them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def random_sample(specs: Sequence[InputSpec], seed: int = 0) -> list[np.ndarray]:
    """One random input per spec, the same every time: uniform over an integer dtype, [0, 1) for floats."""
    rng = np.random.default_rng(seed)
    arrays = []
    for s in specs:
        if np.dtype(s.dtype).kind == "f":
            arrays.append(rng.random(s.shape, np.float32).astype(s.dtype))
        else:
            info = np.iinfo(s.dtype)
            arrays.append(rng.integers(info.min, info.max, s.shape, dtype=np.int64, endpoint=True).astype(s.dtype))
    return arrays
