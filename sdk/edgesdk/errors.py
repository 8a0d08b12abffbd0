# SPDX-License-Identifier: Apache-2.0
"""What edgesdk says when it refuses: one sentence, one exit code."""


class EdgeError(Exception):
    """A refusal. `exit_code` is what the command line returns for it."""

    exit_code = 2


class UsageError(EdgeError):
    """The caller asked for something that cannot be: bad option, bad file, bad shape."""


class Unsupported(EdgeError):
    """The model needs something that edgesdk has not got; all of it is listed at once."""

    exit_code = 3


class DoesNotFit(EdgeError):
    """The model needs more memory than there is; the message says need and have."""

    exit_code = 4


class AccuracyGate(EdgeError):
    """The outputs differ from the reference by more than was allowed."""

    exit_code = 5


class DeviceError(EdgeError):
    """A board, emulator, toolchain or serial link failed."""

    exit_code = 6
