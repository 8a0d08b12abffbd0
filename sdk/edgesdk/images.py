# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures as sample sets: one file per sample, scaled to what the model takes. Needs pillow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".gif", ".tif", ".tiff")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
LARGEST_PIXEL = 255.0


@dataclass(frozen=True)
class Pixels:
    """What a model takes for a picture: 0 ... 255 becomes `low` ... `high`, then `mean` is taken off and the rest
    divided by `std`, each for all channels or one by one."""

    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def pixels(text: str) -> Pixels:
    """`LOW,HIGH[:MEAN,...:STD,...]`.

    >>> pixels("0,1:0.5:0.25")
    Pixels(low=0.0, high=1.0, mean=(0.5,), std=(0.25,))
    """
    try:
        parts = [tuple(float(n) for n in part.split(",")) for part in text.split(":")]
        (low, high), mean, std = (*parts, (0.0,), (1.0,)) if len(parts) == 1 else parts
    except ValueError:
        raise UsageError(f"--pixels {text!r}: expected LOW,HIGH or LOW,HIGH:MEAN,...:STD,... such as 0,1") from None
    if low == high or 0.0 in std or len(mean) not in (1, 3) or len(std) not in (1, 3):
        raise UsageError(f"--pixels {text!r}: expected LOW unlike HIGH, one or three means and deviations, none of 0")
    return Pixels(low, high, mean, std)


def load(folder: Path, shape: tuple[int, ...], taken: Pixels | None) -> np.ndarray:
    """[samples, *shape] float32 in the order of the file names. `shape` is [1, H, W, C], or else [1, C, H, W]."""
    if len(shape) != 4 or shape[0] != 1 or not (shape[3] in MODES or shape[1] in MODES):
        raise UsageError(f"{folder}: a folder of images is for inputs [1, height, width, channels], not {list(shape)}")
    first = shape[3] not in MODES
    height, width, channels = (shape[2], shape[3], shape[1]) if first else shape[1:]
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"{folder}: no images; expected files such as {', '.join(SUFFIXES[:3])}")
    stacked = np.stack([scaled(a, taken or Pixels()) for a in opened(files, (width, height), MODES[channels])])
    stacked = stacked.reshape(len(files), height, width, channels)
    return (np.moveaxis(stacked, 3, 1) if first else stacked).reshape(len(files), *shape)


def opened(files: list[Path], size: tuple[int, int], mode: str) -> Iterator[np.ndarray]:
    library = pillow()
    for path in files:
        try:
            with library.open(path) as image:
                fitted = image.convert(mode).resize(size, library.Resampling.BILINEAR)
                yield np.asarray(fitted, np.float32)
        except OSError as error:
            raise UsageError(f"{path}: not readable as an image ({error}); convert it or take it away") from error


def pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("a folder of images needs pillow; install it: pip install 'edgesdk[images]'") from error
    return Image


def scaled(pixels: np.ndarray, taken: Pixels) -> np.ndarray:
    spread = pixels / LARGEST_PIXEL * (taken.high - taken.low) + taken.low
    return np.asarray((spread - np.array(taken.mean)) / np.array(taken.std), np.float32)
