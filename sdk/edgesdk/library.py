# SPDX-License-Identifier: Apache-2.0
"""The C runtime as a shared library: found next to the package, or named by EDGESDK_LIBRARY."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib import resources
from pathlib import Path

from edgesdk.errors import UsageError

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


def _candidates() -> list[Path]:
    named = os.environ.get("EDGESDK_LIBRARY")
    if named:
        return [Path(named)]
    name = ("" if sys.platform == "win32" else "lib") + "ert" + SUFFIX
    # An editable install spreads the package over two folders, hence the joined search.
    roots = resources.files("edgesdk")
    return [Path(str(roots.joinpath(name))), *(Path(p) / name for p in sys.modules["edgesdk"].__path__)]


@cache
def library() -> ctypes.CDLL:
    """The loaded runtime library. Raises UsageError where it is not installed."""
    for path in _candidates():
        if path.is_file():
            return ctypes.CDLL(str(path))
    looked = ", ".join(str(p) for p in _candidates())
    raise UsageError(f"the runtime library is missing: looked for {looked}; reinstall with `pip install .`")


@cache
def isa_bits() -> int:
    """The instruction sets that this machine runs, by the bits of runtime_c/kernels/isa.h."""
    ask = library().ert_isas
    ask.restype = ctypes.c_uint32
    return int(ask())
