"""`labkit boot check` and `paste`: a verdict with its root causes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.boot.collector import collector_paused
from labkit.cli.boot.tool import boot, given_document
from labkit.cli.frame import Result, current_output
from labkit.errors import ExitCode, LabkitError, UnmetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.findings import Evidence
    from labkit.boot.judge import Diagnosis, Ranked
    from labkit.boot.topics import Topic
    from labkit.cli.output import Output, Style

__all__ = ["diagnosis_data", "evidence_data"]

_MISSING_SHOWN = 3


def _file(flag: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar="FILE", readable=False, help=what)
    return option


@boot.command(
    "labkit boot check",
    "labkit boot check --from boot.tar.gz",
    "labkit boot check --table fdisk.txt --efibootmgr efibootmgr.txt",
)
def check(
    *,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", readable=False, help="Read the system mounted there."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            readable=False,
            help="Read collected outputs: a folder or archive.",
        ),
    ] = None,
    os_prober: Annotated[Path | None, _file("--os-prober", "Output of os-prober.")] = None,
    table: Annotated[Path | None, _file("--table", "Output of fdisk, sfdisk or lsblk.")] = None,
    default_grub: Annotated[Path | None, _file("--default-grub", "/etc/default/grub.")] = None,
    grub_cfg: Annotated[Path | None, _file("--grub-cfg", "The generated menu.")] = None,
    grubenv: Annotated[Path | None, _file("--grubenv", "GRUB's environment block.")] = None,
    efibootmgr: Annotated[Path | None, _file("--efibootmgr", "Output of efibootmgr -v.")] = None,
    blkid: Annotated[Path | None, _file("--blkid", "Output of blkid or lsblk.")] = None,
    fstab: Annotated[Path | None, _file("--fstab", "/etc/fstab.")] = None,
    esp_list: Annotated[Path | None, _file("--esp-list", "The files on the ESP.")] = None,
    esp_stub: Annotated[Path | None, _file("--esp-stub", "The ESP's own grub.cfg.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show remarks and evidence too.")] = False,
) -> Result:
    """Say what keeps a dual boot from booting.

    Reads this computer (with commands that only read), a mounted system, collected outputs, or
    single ones. Ends with 0 if the boot chain looks healthy, or nothing is wrong in what was
    given; with 1 if something is wrong, and with 4 if the inputs allow no verdict.
    """
    files = {
        "os-prober": os_prober,
        "table": table,
        "default-grub": default_grub,
        "grub-cfg": grub_cfg,
        "grubenv": grubenv,
        "efibootmgr": efibootmgr,
        "blkid": blkid,
        "fstab": fstab,
        "esp-list": esp_list,
        "esp-stub": esp_stub,
    }
    given = {name: path for name, path in files.items() if path is not None}
    if sum((root is not None, source is not None, bool(given))) > 1:
        raise UsageError("choose one of --root, --from and single inputs")
    with collector_paused():
        diagnosis = _diagnose(root, source, given)
    return _result(diagnosis, show_all=all_)


def _diagnose(root: Path | None, source: Path | None, files: Mapping[str, Path]) -> Diagnosis:
    from labkit.boot.diagnosis import diagnose

    if source is not None:
        from labkit.boot.bundle import read_bundle

        return diagnose(read_bundle(source))
    if files:
        from labkit.boot.inputs import bundle_of_files

        piped = [name for name, path in files.items() if str(path) == "-"]
        if len(piped) > 1:
            raise UsageError(f"standard input is one input: --{' or --'.join(piped)}")
        documents = {name: given_document("-") for name in piped}
        diagnosis = diagnose(bundle_of_files({**files, **documents}))
        if diagnosis.facts.unread:
            raise diagnosis.facts.unread[0]
        return diagnosis
    from labkit.boot.collect import collect_machine

    name = str(root) if root else "this computer"
    collection = collect_machine(root or Path("/"), progress=current_output().progress)
    return diagnose(collection.bundle(name))


@boot.command("labkit boot paste report.txt", "labkit boot paste -")
def paste(
    file: Annotated[str, typer.Argument(help="The report; - reads standard input.")] = "-",
    report: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Which of several reports to judge.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show remarks and evidence too.")] = False,
) -> Result:
    """Judge somebody's pasted report: boot-info, boot-repair, a terminal, a forum post."""
    from labkit.boot.diagnosis import diagnose
    from labkit.boot.paste import cut_paste

    document = given_document(file)
    reports = cut_paste(document)
    if report is None and len(reports) > 1:
        places = ", ".join(f"{n} (line {r.line})" for n, r in enumerate(reports, 1))
        raise UsageError(
            f"{document.name} holds {len(reports)} reports: of several computers, or of one before "
            "and after a change",
            hint=f"choose one with --report: {places}",
            code="several-reports",
        )
    number = report or 1
    if number > len(reports):
        raise UsageError(f"{document.name} holds {len(reports)} reports, not {number}")
    return _result(diagnose(reports[number - 1].bundle), show_all=all_)


def _result(diagnosis: Diagnosis, *, show_all: bool) -> Result:
    from labkit.boot.judge import Verdict
    from labkit.boot.topics import COMMANDS

    codes = {Verdict.HEALTHY: ExitCode.OK, Verdict.FINDINGS: ExitCode.NO}
    errors: list[LabkitError] = list(diagnosis.facts.unread)
    if diagnosis.verdict is Verdict.NO_VERDICT:
        first = next(iter(diagnosis.missing), None)
        whole = "whole " if first in diagnosis.facts.partial else ""
        hint = f"give the {whole}output of: {COMMANDS[first]}" if first else None
        errors.append(
            UnmetError("no verdict: the inputs do not show enough", hint=hint, code="no-verdict")
        )
    return Result(
        diagnosis_data(diagnosis),
        lambda output: _show(output, diagnosis, show_all=show_all),
        codes.get(diagnosis.verdict, ExitCode.UNMET),
        errors,
    )


def diagnosis_data(diagnosis: Diagnosis) -> dict[str, object]:
    """Give a diagnosis as JSON data."""
    from labkit.boot.chain import installed, seen
    from labkit.boot.topics import COMMANDS

    return {
        "verdict": diagnosis.verdict,
        "root_causes": list(diagnosis.root_causes),
        "findings": [_finding_data(ranked) for ranked in diagnosis.findings],
        "missing_inputs": [
            {"input": topic, "command": COMMANDS[topic]} for topic in diagnosis.missing
        ],
        "chain": [
            {
                "link": link.name,
                "holds": link.holds,
                "detail": link.detail,
                "missing_inputs": list(link.lacks(diagnosis.facts)),
            }
            for link in diagnosis.links
        ],
        "links_seen": len(seen(diagnosis.links)),
        "links_total": len(diagnosis.links),
        "systems": list(installed(diagnosis.facts)),
        "distribution": diagnosis.facts.distribution.family,
        "unchecked_rules": list(diagnosis.unchecked),
        "skipped_inputs": [
            {"name": skipped.name, "reason": skipped.reason} for skipped in diagnosis.facts.skipped
        ],
    }


def _finding_data(ranked: Ranked) -> dict[str, object]:
    finding = ranked.finding
    return {
        "rule": finding.rule,
        "title": ranked.title,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "message": finding.message,
        "evidence": [evidence_data(evidence) for evidence in finding.evidence],
        "caution": finding.caution,
        "fix": finding.fix,
        "undo": finding.undo,
        "explained_by": ranked.explained_by,
    }


def evidence_data(evidence: Evidence) -> dict[str, object]:
    """Give a place in an input as JSON data."""
    return {"input": evidence.input, "line": evidence.line, "text": evidence.text}


_STYLES: dict[str, Style] = {"error": "bad", "warn": "warn", "info": "dim"}


def _show(output: Output, diagnosis: Diagnosis, *, show_all: bool) -> None:
    from labkit.boot.findings import Confidence
    from labkit.boot.judge import Verdict

    if diagnosis.verdict is not Verdict.FINDINGS:
        _show_verdict(output, diagnosis)
    shown = diagnosis.findings if show_all else _essential(diagnosis)
    for ranked in shown:
        _show_finding(output, ranked, show_all=show_all)
    hidden = len(diagnosis.findings) - len(shown)
    if hidden:
        output.line(output.style(f"{hidden} more, shown by --all", "dim"))
    first = diagnosis.findings[0].finding if diagnosis.root_causes else None
    is_open = diagnosis.verdict is Verdict.NO_VERDICT
    if is_open or (first is not None and first.confidence is Confidence.LIKELY):
        _show_missing(output, diagnosis)
    _show_inputs(output, diagnosis, show_all=is_open or show_all)


def _essential(diagnosis: Diagnosis) -> tuple[Ranked, ...]:
    """Choose what a first look needs: each root cause and what follows from it, once."""
    roots = set(diagnosis.root_causes)
    chosen: dict[str, Ranked] = {}
    for ranked in diagnosis.findings:
        if ranked.finding.rule in roots or ranked.explained_by in roots:
            chosen.setdefault(ranked.finding.rule, ranked)
    return tuple(chosen.values())


def _show_verdict(output: Output, diagnosis: Diagnosis) -> None:
    """Say what the verdict rests on: the links of the chain that were seen, and those not."""
    from labkit.boot.chain import installed, seen
    from labkit.boot.judge import Verdict

    links = diagnosis.links
    count = f"{len(seen(links))} of {len(links)} links seen"
    systems = " and ".join(installed(diagnosis.facts)) or "no system"
    is_healthy = diagnosis.verdict is Verdict.HEALTHY
    if not is_healthy:
        output.line(output.style(f"no verdict: {count}", "warn"))
    elif len(seen(links)) == len(links):
        headline = f"the boot chain looks healthy ({systems} seen): {count}"
        output.line(output.style(headline, "good"))
    else:
        headline = f"nothing wrong in what was given ({systems} seen): {count}"
        output.line(output.style(headline, "good"))
    for link in links:
        mark = "seen" if link.holds else "not seen" if link.holds is None else "broken"
        output.line(f"  {link.name}: {mark}, {link.detail}")
    if is_healthy and len(seen(links)) < len(links):
        _show_unseen(output, diagnosis)
    elif is_healthy:
        output.line(
            "If it still does not start, look outside the chain: the graphics driver (a hang after "
            "the menu), Windows' own repair, BitLocker."
        )


def _show_unseen(output: Output, diagnosis: Diagnosis) -> None:
    """Name what was not seen, and the commands whose outputs would show it."""
    unseen = [link for link in diagnosis.links if not link.holds]
    topics = tuple(dict.fromkeys(t for link in unseen for t in link.lacks(diagnosis.facts)))
    how = "; give them with:" if topics else ""
    output.line(f"not seen: {', '.join(link.name for link in unseen)}{how}")
    _show_commands(output, diagnosis, topics)


def _show_finding(output: Output, ranked: Ranked, *, show_all: bool) -> None:
    finding = ranked.finding
    indent = "    " if ranked.explained_by else ""
    head = output.style(f"{finding.rule} {finding.severity}", _STYLES[finding.severity])
    likely = " (likely)" if finding.confidence == "likely" else ""
    follows = f", follows from {ranked.explained_by}" if ranked.explained_by else ""
    output.line(f"{indent}{head} {output.style(ranked.title, 'bold')}{likely}{follows}")
    output.line(f"{indent}  {finding.message}")
    if ranked.explained_by and not show_all:
        return
    for evidence in finding.evidence if show_all else finding.evidence[:2]:
        place = evidence.input if evidence.line is None else f"{evidence.input}:{evidence.line}"
        output.line(output.style(f"{indent}  {place}: {evidence.text}", "dim"))
    for heading, text in (
        ("first", finding.caution),
        ("fix", finding.fix),
        ("undo", finding.undo),
    ):
        _show_steps(output, f"{indent}  ", heading, text)


def _show_steps(output: Output, indent: str, heading: str, text: str) -> None:
    """Show steps below their heading, each on a line of its own so that it can be copied."""
    first, *more = text.split("\n")
    if first and not more:
        output.line(f"{indent}{heading}: {first}")
    elif first:
        output.line(f"{indent}{heading}:")
        for step in (first, *more):
            output.line(f"{indent}  {step}")


def _show_missing(output: Output, diagnosis: Diagnosis) -> None:
    missing = diagnosis.missing[:_MISSING_SHOWN]
    if missing:
        output.line("what would tell more:")
        _show_commands(output, diagnosis, missing)


def _show_commands(output: Output, diagnosis: Diagnosis, topics: tuple[Topic, ...]) -> None:
    from labkit.boot.topics import COMMANDS

    for topic in topics:
        part = " (what was given is a part)" if topic in diagnosis.facts.partial else ""
        output.line(f"  {topic}: {COMMANDS[topic]}{part}")


def _show_inputs(output: Output, diagnosis: Diagnosis, *, show_all: bool) -> None:
    """Name what was not read, whatever the verdict, for that rests on the rest alone."""
    from labkit.boot.bundle import NOT_KNOWN

    skipped = diagnosis.facts.skipped
    if show_all:
        for item in skipped:
            output.line(output.style(f"not read: {item.name} ({item.reason})", "dim"))
        return
    names = [item.name for item in skipped if item.reason != NOT_KNOWN]
    strangers = len(skipped) - len(names)
    if strangers:
        names.append(
            "1 file of no known kind" if strangers == 1 else f"{strangers} of no known kind"
        )
    if names:
        output.line(output.style(f"not read: {', '.join(names)} (why: --all)", "dim"))
