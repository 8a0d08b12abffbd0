# SPDX-License-Identifier: Apache-2.0
"""edgesdk: neural networks on devices. `convert` is the whole flow; the rest is on its way."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["EdgeError", "convert", "load", "run", "tune"]

_HOME = {"convert": "flow", "EdgeError": "errors", "load": "runtime", "run": "runtime", "tune": "tuning"}
_NAME = {"load": "open_session"}


def __getattr__(name: str) -> Any:
    """Public names are imported when used, so that `edgesdk --help` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'edgesdk' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"edgesdk.{_HOME[name]}"), _NAME.get(name, name))
