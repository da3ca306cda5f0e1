"""The real grub-mkconfig and 30_os-prober, on a folder of the test: nothing real is read or run.

The script is copied with its configuration folder and grub-probe replaced; os-prober,
linux-boot-prober and grub-probe are stubs that come first in PATH and print what they are told.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path("/etc/grub.d")
_SCRIPT_NAMES = ("00_header", "30_os-prober")
_PROBE = """\
#!/bin/sh
case "$*" in
*fs_uuid*) echo 7A8C-9328 ;;
*partmap*) echo gpt ;;
*=fs*) echo fat ;;
*abstraction*) ;;
*compatibility_hint*) echo hd0,gpt1 ;;
*hints_string*) echo "--hint-bios=hd0,gpt1" ;;
*device*) echo /dev/sda1 ;;
*drive*) echo "(hd0,gpt1)" ;;
*partuuid*) echo ae1d65ea-f03d-4af7-a98e-9aba530dd411 ;;
esac
"""
WINDOWS = "/dev/sda1@/EFI/Microsoft/Boot/bootmgfw.efi:Windows Boot Manager:Windows:efi"


@dataclass(frozen=True)
class Made:
    """What a run of grub-mkconfig did: `menu` is None where it wrote none."""

    code: int
    log: str
    menu: str | None


def make_menu(program: str, folder: Path, settings: bytes, *, drop_in: str | None = None) -> Made:
    """Run grub-mkconfig over `settings` in the empty folder `folder`."""
    etc, stubs = folder / "etc", folder / "stubs"
    (etc / "default/grub.d").mkdir(parents=True)
    (etc / "grub.d").mkdir()
    stubs.mkdir()
    (etc / "default/grub").write_bytes(settings)
    if drop_in is not None:
        (etc / "default/grub.d/50.cfg").write_text(drop_in)
    for name in _SCRIPT_NAMES:
        shutil.copy(SCRIPTS / name, etc / "grub.d" / name)
    for name, text in (
        ("grub-probe", _PROBE),
        ("os-prober", f"#!/bin/sh\necho '{WINDOWS}'\n"),
        ("linux-boot-prober", "#!/bin/sh\n"),
    ):
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    script = Path(program).read_text(encoding="utf-8")
    probe = stubs / "grub-probe"
    script = re.sub(r"(?m)^sysconfdir=.*", f"sysconfdir={etc}", script)
    script = re.sub(r"(?m)^grub_probe=.*", f"grub_probe={probe}", script)
    copy = folder / "mkconfig"
    copy.write_text(script, encoding="utf-8")
    target = folder / "grub.cfg"
    result = subprocess.run(
        ["sh", str(copy), "-o", str(target)],
        capture_output=True,
        timeout=60,
        cwd=folder,
        check=False,
        env={
            "PATH": f"{stubs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "EUID": "0",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "grub_probe": str(probe),
        },
    )
    menu = target.read_text(encoding="utf-8", errors="replace") if target.exists() else None
    return Made(result.returncode, result.stderr.decode("utf-8", "replace"), menu)
