"""Errors that a user can cause or mend: each says in one sentence what is wrong and what to do."""

from __future__ import annotations


class RevatiError(Exception):
    """Something the user can mend. The command line prints the message alone and exits with `exit_code`."""

    exit_code = 1


class UsageError(RevatiError):
    """A wrong argument: an unknown name, a missing command."""

    exit_code = 2


class UnsupportedError(RevatiError):
    """This machine, program or framework build cannot be emulated."""

    exit_code = 3


class ServerError(RevatiError):
    """The serving framework ended, or was not ready in time."""

    exit_code = 4


class ClientError(RevatiError):
    """The framework's benchmark client failed."""

    exit_code = 5


class ChildError(RevatiError):
    """The process of a function (`Emulation.call`) ended without an answer."""

    exit_code = 6


class ClockError(RevatiError):
    """The virtual clock does not answer, or has ended its group."""

    exit_code = 87
