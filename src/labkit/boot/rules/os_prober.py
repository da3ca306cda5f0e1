"""Rules about os-prober, which finds the other systems for the menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.findings import Confidence, Evidence, Severity
from labkit.boot.linux_loader import uses_grub
from labkit.boot.partition_types import PartitionType
from labkit.boot.remedies import settings_file, steps, update_steps
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts

__all__ = ["RULES"]

_VARIABLE = "GRUB_DISABLE_OS_PROBER"


def windows_is_missing(facts: Facts) -> bool:
    """Tell whether Windows is installed and a whole menu does not offer it."""
    return bool(
        not facts.windows_is_removed
        and facts.windows_evidence
        and facts.menu is not None
        and facts.menu.is_whole
        and not facts.menu.windows
    )


def may_probe(facts: Facts) -> bool:
    """Tell whether os-prober runs with the menu's next update, as far as the inputs tell."""
    off, _ = _switched_off(facts)
    return off is None


@rule(
    "O01",
    "os-prober is switched off",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=((Topic.SETTINGS, Topic.RUN_LOG),),
    see="The GRUB menu offers Linux only; Windows is not in it.",
    why=(
        "Since GRUB 2.06 the script 30_os-prober does nothing unless /etc/default/grub says "
        "GRUB_DISABLE_OS_PROBER=false. Fedora and RHEL reverted that; openSUSE writes the line "
        "into its file. Only the exact word `true` switches it off; an absent line does too, "
        "where the distribution follows upstream."
    ),
    check="Run `sudo update-grub` and look for `os-prober will not be executed`.",
    fix="Write GRUB_DISABLE_OS_PROBER=false into /etc/default/grub, then run update-grub.",
    undo="Put the old line back (or take the new one out) and run update-grub.",
)
def os_prober_off(facts: Facts) -> Iterator[Hit]:
    """os-prober is off, by the log of a run or by the settings."""
    evidence, confidence = _switched_off(facts)
    if evidence is None:
        return
    line = facts.settings.written(_VARIABLE) if facts.settings else None
    place = settings_file(facts, line.input) if line is not None else "/etc/default/grub"
    fix = steps(f"In {place}: {_VARIABLE}=false", update_steps(facts))
    undo = steps(
        f"The old line of {place}: {line.text}"
        if line is not None
        else f"In {place}: take the line {_VARIABLE}=false out.",
        update_steps(facts),
    )
    if windows_is_missing(facts):
        message = "Windows is installed but not in the menu, and os-prober is switched off"
        seen = (evidence, *facts.windows_evidence[:1])
        yield Hit(message, seen, confidence=confidence, fix=fix, undo=undo)
    elif facts.menu is None or not facts.menu.windows:
        message = "os-prober is switched off: another system would not be put into the menu"
        yield Hit(message, (evidence,), Severity.INFO, confidence, fix, undo)


def _switched_off(facts: Facts) -> tuple[Evidence | None, Confidence]:
    if facts.log is not None and facts.log.probing is not None:
        return (None if facts.log.probing else facts.log.probing_evidence), Confidence.CERTAIN
    if facts.settings is None:
        return None, Confidence.LIKELY
    if (line := facts.settings.written(_VARIABLE)) is not None:
        off = facts.settings.value(_VARIABLE) == "true"
        return line if off else None, Confidence.CERTAIN
    by_default = facts.probes_by_default
    if by_default is True:
        return None, Confidence.CERTAIN
    name = facts.settings.files[0].name
    confidence = Confidence.CERTAIN if by_default is False else Confidence.LIKELY
    return Evidence(name, None, f"{_VARIABLE} is not set"), confidence


_NO_PACKAGE = (
    r"^(?:un|rc|pn)\s+os-prober|no packages found matching os-prober|os-prober.*not installed"
)


@rule(
    "O02",
    "os-prober is not installed",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=((Topic.PACKAGES, Topic.RUN_LOG, Topic.OS_PROBER),),
    see="The GRUB menu offers Linux only, and update-grub does not speak of os-prober at all.",
    why=(
        "30_os-prober leaves without a word when the programs os-prober and linux-boot-prober "
        "are not there. The package is only recommended by most distributions."
    ),
    check="Run `command -v os-prober`.",
    fix="Install the package os-prober, then run update-grub.",
    undo="Remove the package and run update-grub.",
    explains=("C01",),
)
def os_prober_missing(facts: Facts) -> Iterator[Hit]:
    """The package list, or a whole run that does not mention os-prober, shows it missing."""
    severity = Severity.ERROR if windows_is_missing(facts) else Severity.INFO
    command = facts.distribution.install_command
    install = f"{command} os-prober" if command.startswith("sudo") else "Install os-prober."
    fix = steps(install, update_steps(facts))
    for line in facts.packages:
        if re.search(_NO_PACKAGE, line.text):
            yield Hit("os-prober is not installed", (line,), severity, fix=fix)
            return
    if facts.prober is not None and facts.prober.missing:
        yield Hit("os-prober is not installed", facts.prober.missing[:1], severity, fix=fix)
        return
    log, menu = facts.log, facts.menu
    if (
        windows_is_missing(facts)
        and log is not None
        and log.is_done
        and log.probing is None
        and menu is not None
        and menu.ran_os_prober
        and not menu.os_prober_wrote
    ):
        message = "update-grub finished without a word about os-prober: it is not installed"
        yield Hit(message, (menu.source,), severity, Confidence.LIKELY, fix)


@rule(
    "O03",
    "os-prober ran and found nothing",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=((Topic.RUN_LOG, Topic.OS_PROBER),),
    see="os-prober is switched on, update-grub runs it, and Windows is still not found.",
    why=(
        "os-prober mounts each unmounted partition through grub-mount (FUSE) and has no other "
        "way since 1.75: without FUSE, without udev's database (in a chroot) or without root it "
        "skips them without a message and ends well."
    ),
    check="Mount the Windows ESP and run `sudo os-prober` again; a mounted ESP is read in place.",
    fix=(
        "Run it as root. Mount the Windows ESP, then run os-prober and update-grub again: a "
        "mounted ESP is read in place. In a chroot bind /run/udev. Where unmounted partitions are "
        "never found, install fuse3 (grub-mount needs it)."
    ),
    undo="Unmount the ESP again.",
)
def os_prober_blind(facts: Facts) -> Iterator[Hit]:
    """It was run, found no Windows, and everything that it needs to find is there."""
    if facts.prober is not None and facts.prober.denied:
        yield Hit(
            "os-prober ran without root rights: that it found nothing proves nothing",
            facts.prober.denied[:1],
            Severity.INFO,
            fix="sudo os-prober",
        )
        return
    if not uses_grub(facts) or not _ran_without_windows(facts) or not _is_findable(facts):
        return
    loader = facts.windows_loader or facts.windows_evidence[0]
    esp = next((p for p in facts.partitions if p.type is PartitionType.ESP and p.is_fat), None)
    named = [listed.device for listed in facts.esps if listed.has_windows and listed.device]
    device = named[0] if named else esp.device if esp else ""
    yield Hit(
        "os-prober found nothing although Windows' loader is where it looks",
        (loader,),
        confidence=Confidence.LIKELY,
        fix=steps(
            "A mounted ESP is read in place (leave the mount out where it is mounted):",
            f"sudo mount {device} /mnt",
            "sudo os-prober",
            update_steps(facts),
        ),
        undo="sudo umount /mnt",
    )


def _ran_without_windows(facts: Facts) -> bool:
    if facts.prober is not None:
        found = facts.prober.systems or facts.prober.malformed
        return not found and not facts.prober.missing
    log = facts.log
    if log is None or not log.probing or not log.is_done:
        return False
    return not any("indows" in line.text or ".efi" in line.text.lower() for line in log.found)


def _is_findable(facts: Facts) -> bool:
    """Tell whether loader, BCD and ESP type are right: then the mechanism has failed."""
    esp_is_typed = any(p.type is PartitionType.ESP and p.is_fat for p in facts.partitions)
    complete = any(
        esp.has_windows
        and (esp.find("/efi/microsoft/boot/bcd") is not None or not esp.shows_other_files)
        for esp in facts.esps
    )
    return esp_is_typed and complete


@rule(
    "O04",
    "grub-mkconfig died on the way",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=(Topic.RUN_LOG,),
    see="update-grub finds Windows, but the menu does not change.",
    why=(
        "grub-mkconfig writes to grub.cfg.new and renames it at the very end. When a script or "
        "a broken translation fails in between, it stops without `done` and the old menu stays. "
        "`Found Windows ...` is printed before the entry is written."
    ),
    check="Run `sudo LC_ALL=C update-grub; echo $?`: a line complains, and `done` is missing.",
    fix="Run sudo LC_ALL=C update-grub: without translations many such failures go away. Else "
    "correct or update what the failing line names.",
    undo="Nothing was changed: the old menu stays until a run ends well.",
    explains=("C01", "O01", "O02", "O03"),
)
def run_died(facts: Facts) -> Iterator[Hit]:
    """The log holds an error and no `done`."""
    if facts.log is not None and facts.log.died:
        yield Hit(
            f"grub-mkconfig stopped before the end: {facts.log.errors[0].text}",
            facts.log.errors,
            fix=steps(
                "Without translations many such failures go away:",
                update_steps(facts).replace("sudo ", "sudo LC_ALL=C "),
                "If it fails again, correct or update what the failing line names.",
            ),
        )


@rule(
    "O05",
    "Windows is on os-prober's skip list",
    Severity.WARN,
    Effect.NOT_IN_MENU,
    needs=((Topic.SETTINGS, Topic.RUN_LOG),),
    see="update-grub says `Skipped Windows Boot Manager ... by user request`.",
    why=(
        "GRUB_OS_PROBER_SKIP_LIST names systems, as UUID@/path, that 30_os-prober leaves out "
        "although os-prober found them."
    ),
    check="grep SKIP_LIST /etc/default/grub",
    fix="Take the UUID out of GRUB_OS_PROBER_SKIP_LIST, then run update-grub.",
    undo="Put it back.",
    explains=("C01",),
)
def skipped_by_user(facts: Facts) -> Iterator[Hit]:
    """The log says so, or the list holds the UUID of an ESP."""
    severity = Severity.ERROR if windows_is_missing(facts) else Severity.WARN
    skipped = facts.log.skipped if facts.log is not None else ()
    if skipped:
        fix = steps("Take it out of GRUB_OS_PROBER_SKIP_LIST.", update_steps(facts))
        message = "update-grub left a system out, as the skip list asks"
        yield Hit(message, skipped, severity, fix=fix)
        return
    name = "GRUB_OS_PROBER_SKIP_LIST"
    value = facts.settings.value(name) if facts.settings else None
    line = facts.settings.written(name) if facts.settings else None
    if not value or line is None:
        return
    esps = [p.uuid for p in facts.partitions if p.is_fat and p.uuid]
    named = [uuid for uuid in esps if uuid.lower() in value.lower()]
    if named:
        message = f"the skip list holds the file system {named[0]} of an ESP"
        place = settings_file(facts, line.input)
        fix = steps(f"In {place}: take {named[0]} out of the list.", update_steps(facts))
        undo = f"The old line of {place}: {line.text}"
        yield Hit(message, (line,), severity, fix=fix, undo=undo)


@rule(
    "O06",
    "30_os-prober cannot run",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=(Topic.SCRIPTS,),
    see="update-grub does not speak of os-prober, though the program is installed.",
    why=(
        "grub-mkconfig runs the executable files of /etc/grub.d only. Grub Customizer replaces "
        "them by proxies and takes the execute bit off the originals."
    ),
    check="ls -l /etc/grub.d",
    fix=(
        "sudo chmod +x /etc/grub.d/30_os-prober, then update-grub. Where the file is missing, "
        "reinstall its package; Debian and Ubuntu bring a deleted settings file back only with "
        "sudo apt-get -o Dpkg::Options::=--force-confmiss install --reinstall grub-common."
    ),
    undo="sudo chmod -x /etc/grub.d/30_os-prober, then update-grub",
    explains=("C01",),
)
def script_not_run(facts: Facts) -> Iterator[Hit]:
    """30_os-prober is missing or not executable in the list of /etc/grub.d."""
    severity = Severity.ERROR if windows_is_missing(facts) else Severity.WARN
    prober = next((s for s in facts.scripts if s.name.endswith("30_os-prober")), None)
    proxies = tuple(s.evidence for s in facts.scripts if "prox" in s.name)
    if prober is not None and not prober.is_executable:
        fix = steps("sudo chmod +x /etc/grub.d/30_os-prober", update_steps(facts))
        if proxies:
            fix = steps("Grub Customizer put proxies in its place: take them out there first.", fix)
        yield Hit(
            "30_os-prober is not executable",
            (prober.evidence, *proxies),
            severity,
            fix=fix,
            undo="sudo chmod -x /etc/grub.d/30_os-prober",
        )
    elif prober is None and any(s.name == "10_linux" for s in facts.scripts):
        first = facts.scripts[0].evidence
        message = "30_os-prober is not in /etc/grub.d"
        yield Hit(message, proxies or (first,), severity, fix=_reinstalled(facts))


_REINSTALL = {
    Family.DEBIAN: (
        "sudo apt-get -o Dpkg::Options::=--force-confmiss install --reinstall grub-common"
    ),
    Family.FEDORA: "sudo dnf reinstall grub2-tools",
    Family.SUSE: "sudo zypper install --force grub2",
    Family.ARCH: "sudo pacman -S grub",
}


def _reinstalled(facts: Facts) -> str:
    """Give the command that brings 30_os-prober back; dpkg leaves a deleted one out by itself."""
    family = facts.distribution.family
    command = _REINSTALL.get(Family.DEBIAN if family is Family.UBUNTU else family)
    return steps(command or "Reinstall GRUB's package.", update_steps(facts))


RULES = (
    os_prober_off,
    os_prober_missing,
    os_prober_blind,
    run_died,
    skipped_by_user,
    script_not_run,
)
