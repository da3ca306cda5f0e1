"""How the commands of `labkit gpupv` read a specification and show what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from labkit.cli.frame import Result
from labkit.errors import ExitCode, InputError, LabkitError

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.gpupv.spec import Spec, SpecError

__all__ = ["problems_result", "read_spec"]


def read_spec(path: Path) -> Spec:
    """Read the specification in the file `path`.

    Raises:
        InputError: The file cannot be read or is no UTF-8.
        SpecError: What it says is wrong.
    """
    from labkit.gpupv.spec import Spec, SpecError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}",
            hint="`labkit gpupv init -o FILE` writes an example",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text", hint="save it as UTF-8") from error
    try:
        return Spec.parse(text)
    except SpecError as error:
        raise error.in_file(str(path)) from error


def problems_result(error: SpecError) -> Result:
    """Show every problem of a specification, each as an error of its own."""
    errors = [LabkitError(str(problem), code=error.code, hint=None) for problem in error.problems]
    errors[-1].hint = error.hint
    data = {"problems": [asdict(problem) for problem in error.problems]}
    return Result(data, lambda _: None, ExitCode.USAGE, errors)
