# SPDX-License-Identifier: Apache-2.0
"""What a node of an exported program is called, and where in the user's code it stands."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def kind_of(target: Any) -> str:
    """conv2d of aten.conv2d.default; torch.foo of ops that are not ATen's.

    >>> import operator
    >>> kind_of(operator.getitem)
    'getitem'
    """
    schema = getattr(target, "_schema", None)
    if schema is None:
        return str(getattr(target, "__name__", target))
    space, _, name = schema.name.partition("::")
    return name if space == "aten" else f"{space}.{name}"


def is_tensor(node: Any) -> bool:
    return hasattr(node.meta.get("val"), "dtype")


def module_path(node: Any) -> str:
    """The innermost module that the node belongs to, as named_modules() calls it."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def code_line(node: Any) -> str:
    """file:line of the innermost frame outside torch."""
    frames = FRAME.findall(node.meta.get("stack_trace") or "")
    own = [f for f in frames if "torch" not in PurePath(f[0]).parts]
    return f"{PurePath(own[-1][0]).name}:{own[-1][1]}" if own else ""


def source_of(node: Any) -> str:
    """features.0.conv (net.py:31)"""
    line = code_line(node)
    return f"{module_path(node) or node.name} ({line})" if line else module_path(node) or str(node.name)


def node_line(node: Any) -> str:
    """gelu of blocks.0.act (net.py:31)"""
    return f"{kind_of(node.target)} of {source_of(node)}"
