"""`labkit tv check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.frame import Result
from labkit.cli.output import Output, Style, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import Apps, chosen_tv, given_apps
from labkit.errors import ExitCode

if TYPE_CHECKING:
    from labkit.tv.apk import Apk
    from labkit.tv.apps import App
    from labkit.tv.contents import Proof
    from labkit.tv.facts import DeviceFacts
    from labkit.tv.fit import AppCheck


@tv.command(
    "labkit tv check Kodi.apk",
    "labkit tv check SmartTube.apks --tv livingroom",
)
def check(
    app: Apps,
    target: Annotated[
        str | None,
        typer.Option("--tv", metavar="TV", help="Compare with this TV: name or address."),
    ] = None,
) -> Result:
    """Say whether apps fit a TV, before anything is sent."""
    from labkit.tv.facts import DeviceFacts
    from labkit.tv.fit import check_app

    with given_apps(app, verify=True) as apps:
        facts = _ask(target, apps) if target else DeviceFacts()
        checks = [check_app(each, facts) for each in apps]
    fits = all(each.fits for each in checks)
    tv_name = facts.name if target else None
    return Result(
        data={
            "apps": [_app_data(each, facts.sdk) for each in checks],
            "fits": fits,
            "tv": tv_name,
        },
        text=lambda out: _show_checks(out, checks, facts.sdk, tv_name),
        exit_code=ExitCode.OK if fits else ExitCode.NO,
    )


def _ask(target: str, apps: Sequence[App]) -> DeviceFacts:
    from labkit.tv.install import facts_for

    return facts_for(chosen_tv(target), apps)


def _app_data(check: AppCheck, sdk: int | None) -> dict[str, Any]:
    apk = check.base
    return {
        "file": check.app.name,
        "package": apk.package,
        "version_code": apk.version_code,
        "version_name": apk.version_name,
        "min_sdk": apk.min_sdk,
        "target_sdk": apk.target_sdk,
        "abis": list(_abis(check)),
        "split": apk.split,
        "parts": [
            {
                "split": part.apk.split,
                "file": part.apk.name,
                "size_bytes": part.apk.size_bytes,
                "wanted": part in check.choice.parts,
            }
            for part in check.choice.variant.parts
        ],
        "size_bytes": check.choice.size_bytes,
        "signers": list(apk.signers(sdk)),
        "signature_schemes": [signature.scheme for signature in apk.signatures.schemes],
        "contents_compared_with": sorted(_proofs(check)),
        "leanback": apk.tv_tile,
        "leanback_required": apk.leanback_required,
        "touchscreen_required": apk.touchscreen_required,
        "problems": [
            {
                "code": problem.code,
                "message": problem.message,
                "severity": problem.severity,
                "hint": problem.hint,
            }
            for problem in check.problems
        ],
        "fits": check.fits,
    }


def _proofs(check: AppCheck) -> set[Proof]:
    return {part.apk.contents.proof for part in check.choice.parts if part.apk.contents}


def _contents(check: AppCheck) -> str:
    if any(problem.code == "damaged" for problem in check.problems):
        return "damaged"
    if _proofs(check) == {"signed-digest"}:
        return "every byte as signed (the TV checks the key)"
    return "every file in it matches its sum, CRC-32 (the TV checks the signature)"


def _abis(check: AppCheck) -> tuple[str, ...]:
    return tuple(sorted({abi for part in check.choice.variant.parts for abi in part.apk.abis}))


def _show_checks(
    out: Output, checks: Sequence[AppCheck], sdk: int | None, tv_name: str | None
) -> None:
    for index, check in enumerate(checks):
        if index:
            out.line()
        _show_check(out, check, sdk, tv_name)


def _show_check(out: Output, check: AppCheck, sdk: int | None, tv_name: str | None) -> None:
    from labkit.tv.android import describe_sdk

    apk = check.base
    name = "(resource)" if apk.manifest.version_name_is_reference else apk.version_name
    version = f" {name}" if name else ""
    out.line(out.style(f"{apk.package}{version} ({apk.version_code})", "heading"))
    fields = {
        "file": check.app.name,
        "android": f"{describe_sdk(apk.min_sdk)} or newer, made for {describe_sdk(apk.target_sdk)}",
        "native code": ", ".join(_abis(check)) or "none: runs on every processor",
        "on a tv": f"{_tile(apk)}, {_touchscreen(apk)}",
        "signed by": ", ".join(apk.signers(sdk)) or "nobody",
        "contents": _contents(check),
    }
    parts = check.choice.variant.parts
    if len(parts) > 1:
        fields["parts"] = f"{len(check.choice.parts)} of {len(parts)}: " + ", ".join(
            part.apk.split or "base" for part in check.choice.parts
        )
    fields["size"] = format_bytes(check.choice.size_bytes)
    out.fields(fields)
    for problem in check.problems:
        style: Style = "bad" if problem.severity == "error" else "warn"
        label = out.style(f"{problem.severity}:", style)
        out.line(f"{label} {problem.message} [{problem.code}]")
        if problem.hint:
            out.line(f"  {problem.hint}")
    where = f" {tv_name}" if tv_name else ""
    if check.fits:
        out.line(out.style(f"fits{where}" if where else "no problem was found in it", "good"))
    else:
        out.line(out.style(f"does not fit{where}" if where else "cannot be installed", "bad"))


def _tile(apk: Apk) -> str:
    return "tile on the home screen" if apk.tv_tile else "no tile"


def _touchscreen(apk: Apk) -> str:
    return {
        True: "needs a touchscreen",
        False: "works without a touchscreen",
        None: "does not say whether it needs a touchscreen",
    }[apk.touchscreen_required]
