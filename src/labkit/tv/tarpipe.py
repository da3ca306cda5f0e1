"""tar on the TV, as one stream in either direction.

For a tree of many files this is 36 to 350 times faster than file by file. `exec:` merges errors
into the archive and has no exit status, so the shell protocol is used where the TV has it; on older
ones errors go through a file on the TV.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.errors import LabkitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from labkit.tv.device import Tv
    from labkit.tv.shell import ShellStream

__all__ = ["FIRST_SDK_WITH_TAR", "TarOutcome", "create_tar", "extract_tar", "has_tar"]

FIRST_SDK_WITH_TAR = 23
"""Android 6: from here on a TV has a tar, and where its version is known it need not be asked."""

_ERROR_FILE = "/data/local/tmp/labkit-tar.err"


@dataclass
class TarOutcome:
    """How a tar on the TV ended; filled when its block ends.

    Attributes:
        status: Its exit status; None where the TV cannot tell.
        errors: What it complained about, a line each.
    """

    status: int | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it did all of its work."""
        return not self.status if self.status is not None else not self.errors

    def note(self, status: int | None, text: str) -> None:
        """Take down how it ended."""
        self.status = status
        self.errors = [line.strip() for line in text.splitlines() if line.strip()]


def has_tar(tv: Tv) -> bool:
    """Ask whether the TV has a tar (Android 6 and later)."""
    return tv.run("tar", "--help").status == 0


@contextmanager
def create_tar(
    tv: Tv, parent: str, names: Sequence[str], *, exclude: Sequence[str] = ()
) -> Iterator[tuple[Iterator[bytes], TarOutcome]]:
    """Let the TV archive `names` of the folder `parent`; yields its pieces and how it ended.

    Args:
        tv: The TV.
        parent: An absolute path on the TV.
        names: What to take, relative to it.
        exclude: Patterns of what to leave out, as tar matches them.
    """
    words = ["tar", "-C", parent, *(f"--exclude={pattern}" for pattern in exclude)]
    line = shlex.join([*words, "-cf", "-", *names])
    outcome = TarOutcome()
    if tv.has_shell_v2:
        with tv.shell(line) as shell:
            shell.close_input()
            yield shell.output(), outcome
            outcome.note(shell.wait(), shell.errors)
        return
    # A tar refuses to write to a terminal, which is what `exec:` gives it.
    with tv.execute(f"{line} 2>{_ERROR_FILE} | cat") as stream:
        yield iter(stream.receive, b""), outcome
    outcome.note(None, _take_error_file(tv))


@contextmanager
def extract_tar(tv: Tv, folder: str) -> Iterator[tuple[ShellStream, TarOutcome]]:
    """Let the TV, which must have `shell_v2`, unpack what is written into the folder `folder`.

    Yields the running command, which takes a complete archive, and how it ended.
    """
    # -o: the files belong to whom the TV says, not to whom they belonged.
    line = shlex.join(["tar", "-C", folder, "-x", "-o", "-f", "-"])
    outcome = TarOutcome()
    with tv.shell(line) as shell:
        yield shell, outcome
        shell.close_input()
        outcome.note(shell.wait(), shell.errors)


def _take_error_file(tv: Tv) -> str:
    text = tv.run("cat", _ERROR_FILE).stdout
    try:
        tv.run("rm", "-f", _ERROR_FILE)
    except LabkitError:  # the next tar writes it anew
        return text
    return text
