"""`labkit doctor`: what labkit finds on this computer."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from labkit import __version__
from labkit.cli.frame import Result, single_command
from labkit.cli.output import Output


def doctor() -> Result:
    """Show what labkit finds on this computer.

    Versions, the configuration file, and the external programs that labkit can use: where each
    is, what it is for, and how to install a missing one.
    """
    from labkit.programs import PROGRAMS

    with ThreadPoolExecutor() as pool:
        programs = list(pool.map(_program, PROGRAMS))
    versions = {
        "labkit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    config = _config()
    data = {**versions, "config": config, "programs": programs}
    return Result(data, lambda output: _show(output, versions, config, programs))


def _config() -> dict[str, str | bool | None]:
    from labkit.config import config_path, read_config
    from labkit.errors import InputError

    path = config_path()
    try:
        config = read_config(path)
    except InputError as error:
        return {"path": str(path), "found": True, "problem": error.message}
    return {"path": str(path), "found": config.exists, "problem": None}


def _program(name: str) -> dict[str, str | None]:
    from labkit.programs import PROGRAMS, find_program, install_hint, program_version

    path = find_program(name)
    return {
        "name": name,
        "path": str(path) if path else None,
        "version": program_version(name, path) if path else None,
        "purpose": PROGRAMS[name].purpose,
        "install": None if path else install_hint(name),
    }


def _show(
    output: Output,
    versions: Mapping[str, str],
    config: Mapping[str, str | bool | None],
    programs: Sequence[Mapping[str, str | None]],
) -> None:
    state = config["problem"] or ("found" if config["found"] else "none (it is optional)")
    output.fields({**versions, "configuration": f"{config['path']}: {state}"})
    output.line()
    rows = [
        (
            f"{program['name']}",
            (program["version"] or "found") if program["path"] else "missing",
            program["path"] or f"{program['install']}",
            f"{program['purpose']}",
        )
        for program in programs
    ]
    output.table(("program", "version", "where", "what for"), rows)


app = single_command(doctor, "doctor", "labkit doctor")
