"""The answers of Android's own programs: getprop, pm, cmd, dumpsys, am, wm, df, monkey.

Only these are doubles; transport, sync, shell and tar are the genuine adbd's. The texts are those
of the package manager as its users paste them. Run as a program under one of these names (see
`write_doubles`), or called by the device emulator through `answer`.

The TV's state is one JSON file in the folder LABKIT_TV_STATE; a test reads and edits it through
`TvState`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where one process does all
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("getprop", "pm", "cmd", "dumpsys", "am", "wm", "df", "monkey")

_LISTS = {
    "features": (
        "feature:reqGlEsVersion=0x30000",
        "feature:android.hardware.ethernet",
        "feature:android.hardware.type.television",
        "feature:android.software.leanback",
        "feature:android.software.live_tv",
    ),
    "libraries": ("library:android.test.base", "library:org.apache.http.legacy"),
}

_THREADS = threading.RLock()

_DEFAULTS: dict[str, Any] = {
    "props": {
        "ro.product.manufacturer": "Labkit",
        "ro.product.brand": "labkit",
        "ro.product.model": "Test TV",
        "ro.build.version.release": "9",
        "ro.build.version.sdk": "28",
        "ro.product.cpu.abilist": "armeabi-v7a,armeabi",
        "ro.product.cpu.abilist32": "armeabi-v7a,armeabi",
        "ro.product.cpu.abilist64": "",
        "ro.product.locale": "de-DE",
        "ro.serialno": "LK0001",
    },
    "density": 320,
    "free_kib": 4_000_000,
    "packages": {},
    "sessions": {},
    "next_session": 42,
    # What the next committed session installs: doubles read no APKs.
    "next_package": "org.example.player",
    # Verb -> text that it answers instead of doing its work.
    "answers": {},
    "log": [],
}


class TvState:
    """The TV's state, shared between a test and the doubles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "state.json"
        if not self._file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(_DEFAULTS))

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """Change the state; whoever else wants it waits."""
        with _THREADS, (self.folder / "lock").open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            state = json.loads(self._file.read_text())
            yield state
            self._file.write_text(json.dumps(state))

    def read(self) -> dict[str, Any]:
        """The state as it is now."""
        with self.edit() as state:
            return state

    def reset(self) -> None:
        """Make it a new TV again."""
        with self.edit() as state:
            state.clear()
            state.update(json.loads(json.dumps(_DEFAULTS)))

    def add_package(self, name: str, **facts: object) -> None:
        """Install an app; `facts` are version_code, version_name, signers, system ..."""
        with self.edit() as state:
            state["packages"][name] = {
                "version_code": 1,
                "version_name": "1.0",
                "signers": [],
                "system": False,
                "enabled": True,
                "files": [f"/data/app/{name}/base.apk"],
                **facts,
            }


def write_doubles(folder: Path) -> None:
    """Write the programs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {__file__} {name} "$@"\n')
        program.chmod(0o755)


def answer(
    arguments: list[str], state: TvState, stdin: BinaryIO | None, root: Path
) -> tuple[str, int]:
    """What the TV prints, and its exit status. `root` is where the TV's `/` is here."""
    name, *rest = arguments
    with state.edit() as content:
        content["log"].append(" ".join(arguments))
        forced = next(
            (t for verb, t in content["answers"].items() if " ".join(arguments).startswith(verb)),
            None,
        )
        delay = content.get("delay_s", 0)
    if delay:
        time.sleep(delay)
    if name == "cmd":
        if rest[:1] != ["package"]:
            return f"cmd: Can't find service: {rest[0]}\n", 20
        rest = rest[1:]
    if name in {"cmd", "pm"}:
        text = _package_verb(rest, state, stdin, root, forced)
        return text, int("Failure" in text or "Error" in text)
    if forced is not None:
        return forced, 0
    return _PROGRAMS[name](rest, state.read())


def _package_verb(
    arguments: list[str], state: TvState, stdin: BinaryIO | None, root: Path, forced: str | None
) -> str:
    verb, *rest = arguments
    size = 0
    if verb == "install-write":
        size = int(rest[rest.index("-S") + 1])
        target = _staging(root, rest[-3])
        target.mkdir(exist_ok=True)
        received_size = _receive(stdin, target / rest[-2], size)
        if received_size < size:
            return "Failure [INSTALL_FAILED_INTERNAL_ERROR: stream ended]\n"
    if forced is not None:
        return forced
    with state.edit() as content:
        return _VERBS[verb](rest, content, state.folder, root)


def _receive(stdin: BinaryIO | None, file: Path, size: int) -> int:
    got = 0
    with file.open("wb") as target:
        while stdin is not None and got < size and (part := stdin.read(min(size - got, 1 << 20))):
            target.write(part)
            got += len(part)
    return got


def _staging(root: Path, session: str) -> Path:
    """Where Android itself keeps the files of an open session."""
    return root / "data/app" / f"vmdl{session}.tmp"


def _create(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    number = str(content["next_session"])
    content["next_session"] += 1
    content["sessions"][number] = {"arguments": rest, "state": "open"}
    return f"Success: created install session [{number}]\n"


def _install(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    """Install a file that was pushed, as `adb install --no-streaming` asks for.

    Android makes a session of its own for it: the file is copied to where a session's bytes go,
    then the session is committed.
    """
    _create(rest, content, folder, root)
    number = max(content["sessions"], key=int)
    staging = _staging(root, number)
    staging.mkdir()
    shutil.copyfile(root / rest[-1].lstrip("/"), staging / "base.apk")
    return _commit([number], content, folder, root)


def _write(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    return f"Success: streamed {rest[rest.index('-S') + 1]} bytes\n"


def _commit(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    session = content["sessions"][rest[0]]
    name = content["next_package"]
    if _is_of_another_key(content, name):
        return (
            f"Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package {name} signatures do not match "
            "previously installed version; ignoring!]\n"
        )
    target = root / "data/app" / name
    session["state"] = "committed"
    shutil.rmtree(target, ignore_errors=True)
    _staging(root, rest[0]).rename(target)
    files = [f"/data/app/{name}/{file.name}" for file in sorted(target.iterdir())]
    known = content["packages"].get(name, {})
    content["packages"][name] = {
        "version_code": known.get("version_code", 0) + 1,
        "version_name": "1.0",
        "signers": [],
        "system": False,
        "enabled": True,
        **content.get("next_facts", {}),
        "files": files,
    }
    return "Success\n"


def _is_of_another_key(content: dict[str, Any], name: str) -> bool:
    signers = content.get("next_facts", {}).get("signers")
    return signers is not None and content["packages"].get(name, {}).get("signers") not in (
        None,
        signers,
    )


def _abandon(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    content["sessions"][rest[0]]["state"] = "abandoned"
    shutil.rmtree(_staging(root, rest[0]), ignore_errors=True)
    return "Success\n"


def _uninstall(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    name = rest[-1]
    known = content["packages"].get(name)
    if known is None:
        return "Failure [not installed for 0]\n"
    if known["system"]:
        return "Failure [DELETE_FAILED_INTERNAL_ERROR]\n"
    del content["packages"][name]
    return "Success\n"


def _list(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    if rest[0] != "packages":
        return "".join(f"{line}\n" for line in _LISTS[rest[0]])
    lines = []
    for name, facts in content["packages"].items():
        if "-3" in rest and facts["system"]:
            continue
        if "-d" in rest and facts["enabled"]:
            continue
        prefix = f"{facts['files'][0]}=" if "-f" in rest else ""
        lines.append(f"package:{prefix}{name}\n")
    return "".join(lines)


def _path(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    if rest[-1] == "android":
        return "package:/system/framework/framework-res.apk\n"
    facts = content["packages"].get(rest[-1], {"files": []})
    return "".join(f"package:{file}\n" for file in facts["files"])


def _enable(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    return _switch(rest[-1], content, enabled=True)


def _disable(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    return _switch(rest[-1], content, enabled=False)


def _switch(name: str, content: dict[str, Any], *, enabled: bool) -> str:
    if name not in content["packages"]:
        return f"Error: java.lang.IllegalArgumentException: Unknown package: {name}\n"
    content["packages"][name]["enabled"] = enabled
    return f"Package {name} new state: {'enabled' if enabled else 'disabled-user'}\n"


def _resolve(rest: list[str], content: dict[str, Any], folder: Path, root: Path) -> str:
    if rest[-1] not in content["packages"]:
        return "No activity found\n"
    return f"priority=0 preferredOrder=0 match=0x108000\n{rest[-1]}/.MainActivity\n"


_VERBS = {
    "install": _install,
    "install-create": _create,
    "install-write": _write,
    "install-commit": _commit,
    "install-abandon": _abandon,
    "uninstall": _uninstall,
    "list": _list,
    "path": _path,
    "enable": _enable,
    "disable-user": _disable,
    "resolve-activity": _resolve,
}


def _getprop(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    if rest:
        return content["props"].get(rest[0], "") + "\n", 0
    return "".join(f"[{k}]: [{v}]\n" for k, v in content["props"].items()), 0


def _dumpsys(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    name = rest[-1]
    facts = content["packages"].get(name)
    if facts is None:
        return f"Unable to find package: {name}\n", 0
    splits = ", ".join(Path(f).stem for f in facts["files"])
    return (
        f"Packages:\n  Package [{name}] (5a4d3f):\n"
        f"    userId=10061\n"
        f"    versionCode={facts['version_code']} minSdk=21 targetSdk=30\n"
        f"    versionName={facts['version_name']}\n"
        f"    splits=[{splits}]\n"
        f"    pkgFlags=[ {'SYSTEM ' if facts['system'] else ''}HAS_CODE ALLOW_CLEAR_USER_DATA ]\n"
        f"    signatures=PackageSignatures{{69d2964 version:3,"
        f" signatures:[{', '.join(facts['signers'])}], past signatures:[]}}\n"
        f"    User 0: ceDataInode=1 installed=true hidden=false"
        f" enabled={0 if facts['enabled'] else 3}\n"
    ), 0


def _am(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    return ("Starting: Intent { }\n" if rest[0] == "start" else ""), 0


def _wm(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    if rest[0] == "size":
        return "Physical size: 1920x1080\n", 0
    return f"Physical density: {content['density']}\n", 0


def _df(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    free = content["free_kib"]
    return (
        "Filesystem     1K-blocks    Used Available Use% Mounted on\n"
        f"/dev/block/dm-1  8000000 {8_000_000 - free} {free}  50% /data\n"
    ), 0


def _monkey(rest: list[str], content: dict[str, Any]) -> tuple[str, int]:
    package = rest[rest.index("-p") + 1]
    if package in content["packages"]:
        return "Events injected: 1\n", 0
    return "** No activities found to run, monkey aborted.\n", 252


_PROGRAMS = {"getprop": _getprop, "dumpsys": _dumpsys, "am": _am, "wm": _wm, "df": _df}
_PROGRAMS["monkey"] = _monkey


def signer_hash(certificate: bytes) -> str:
    """The number that `dumpsys package` shows for a certificate (Java's Arrays.hashCode)."""
    value = 1
    for byte in certificate:
        value = (31 * value + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return f"{value:x}"


def main() -> int:
    """Answer as the program whose name comes first."""
    state = TvState(Path(os.environ["LABKIT_TV_STATE"]))
    text, status = answer(sys.argv[1:], state, sys.stdin.buffer, Path("/"))
    sys.stdout.write(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
