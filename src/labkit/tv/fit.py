"""Whether an app fits a TV: pure functions over what the file is and what is known of the TV.

Every rule yields problems with a stable code. Errors keep the app from being installed; warnings
are worth knowing before. What depends on an unknown fact is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.tv.android import PREVIEW_SDK, describe_sdk, lowest_target_sdk
from labkit.tv.facts import DeviceFacts
from labkit.tv.splits import choose_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from labkit.tv.apk import Apk
    from labkit.tv.apps import App, Part
    from labkit.tv.facts import InstalledApp
    from labkit.tv.splits import Choice

__all__ = ["AppCheck", "Problem", "ProblemClass", "check_app"]

Severity = Literal["error", "warning"]
ProblemClass = Literal["unfit", "refused", "data-loss"]

_TOUCHSCREEN = "android.hardware.touchscreen"
# Android 7 reads scheme v2; Android 11 insists on it for apps that are made for Android 11.
_FIRST_V2_SDK, _V2_REQUIRED_SDK = 24, 30
# From here on, a downgrade is refused for debug builds as well.
_NO_DOWNGRADE_SDK = 34


@dataclass(frozen=True)
class Problem:
    """Something that keeps an app from a TV, or is worth knowing before.

    Attributes:
        code: A stable slug.
        message: What is wrong, one line.
        severity: `error` where the installation would fail.
        kind: The failure class that the TV's own refusal would have.
        hint: The next step, where there is one.
    """

    code: str
    message: str
    severity: Severity = "error"
    kind: ProblemClass = "unfit"
    hint: str | None = None


@dataclass(frozen=True)
class AppCheck:
    """An app held against a TV.

    Attributes:
        app: The app.
        choice: The parts that this TV needs.
        problems: What was found, errors first.
    """

    app: App
    choice: Choice
    problems: tuple[Problem, ...]

    @property
    def base(self) -> Apk:
        """The base, or the whole app, that would be installed."""
        return self.choice.variant.base.apk

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep it from being installed."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def fits(self) -> bool:
        """Whether nothing that is known speaks against installing it."""
        return not self.errors


_UNKNOWN_DEVICE = DeviceFacts()


def check_app(app: App, device: DeviceFacts = _UNKNOWN_DEVICE) -> AppCheck:
    """Hold `app` against what is known of a TV; without a TV, against itself alone."""
    choice = choose_parts(app, device)
    problems = [problem for rule in _FILE_RULES for problem in rule(choice)]
    problems += [problem for rule in _DEVICE_RULES for problem in rule(choice, device)]
    problems.sort(key=lambda problem: problem.severity)  # "error" < "warning", and stable
    return AppCheck(app, choice, tuple(problems))


def _base(choice: Choice) -> Apk:
    return choice.variant.base.apk


# --- the file itself -----------------------------------------------------------------------


def _missing_splits(choice: Choice) -> Iterator[Problem]:
    base = _base(choice)
    offered = {kind for part in choice.variant.parts for kind in part.apk.manifest.split_types}
    missing = [kind for kind in base.manifest.required_split_types if kind not in offered]
    if base.manifest.is_split_required and not choice.variant.splits:
        missing = missing or ["all of them"]
    if missing:
        yield Problem(
            "missing-splits",
            f"{base.package} is split, and parts are missing: {', '.join(missing)}",
            hint="get the whole set as .apks, .apkm or .xapk",
        )


def _damage(choice: Choice) -> Iterator[Problem]:
    for part in choice.parts:
        faults = part.apk.contents.faults if part.apk.contents else ()
        if faults:
            others = f" (and {len(faults) - 1} more)" if faults[1:] else ""
            yield Problem("damaged", faults[0] + others, hint="download it again, from its maker")


def _signature(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    for part in choice.parts:
        yield from _part_signature(part.apk, device.sdk)
    signers = {part.apk.signers(device.sdk) for part in choice.parts}
    if len(signers) > 1:
        yield Problem(
            "mixed-signers",
            f"the parts of {_base(choice).package} are signed by different keys",
            hint="take all parts from one source",
        )


def _part_signature(apk: Apk, sdk: int | None) -> Iterator[Problem]:
    if not apk.signatures.schemes:
        yield Problem(
            "unsigned",
            f"{apk.name} is not signed; Android installs signed apps only",
            hint="download a release build, or sign it with apksigner",
        )
        return
    signature = apk.signatures.on(sdk)
    if signature.scheme is None:
        yield Problem(
            "not-signed-for-sdk",
            f"{apk.name} is signed in a way that Android reads from "
            f"{describe_sdk(_FIRST_V2_SDK)} on",
            hint="get a build with a v1 (JAR) signature",
        )
    elif signature.fault:
        yield Problem(
            "bad-signature",
            f"{apk.name} was altered or is damaged: {signature.fault}",
            hint="download it again, from its maker",
        )
    elif (
        signature.scheme == "v1"
        and _V2_REQUIRED_SDK <= apk.target_sdk < PREVIEW_SDK
        and (sdk is None or sdk >= _V2_REQUIRED_SDK)
    ):
        yield Problem(
            "v1-signature-only",
            f"{apk.name} is made for {describe_sdk(apk.target_sdk)} and has only a v1 signature, "
            f"which {describe_sdk(_V2_REQUIRED_SDK)} and newer refuse",
            hint="get a build with a v2 signature",
            severity="warning" if sdk is None else "error",
        )


def _television(choice: Choice) -> Iterator[Problem]:
    base = _base(choice)
    if not any(part.apk.tv_tile for part in choice.parts):
        yield Problem(
            "no-tv-tile",
            f"{base.package} has no tile on a TV's home screen",
            severity="warning",
            hint=f"start it with `labkit tv launch {base.package}`, or in the TV's settings",
        )
    if base.touchscreen_required:
        yield Problem(
            "touchscreen-required",
            f"{base.package} says that it needs a touchscreen",
            severity="warning",
            hint="a mouse may be needed to use it",
        )


# --- the TV --------------------------------------------------------------------------------


def _abi(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    own = _base(choice).abis
    offered = choice.no_abi or own
    runs_own = not own or any(abi in device.abis for abi in own)
    if device.abis and (choice.no_abi or not runs_own):
        wanted = "armeabi-v7a" if "armeabi-v7a" in device.abis else device.abis[0]
        yield Problem(
            "abi-mismatch",
            f"{_base(choice).package} brings native code for {', '.join(offered)}; "
            f"{device.name} runs {', '.join(device.abis)}",
            hint=f"choose the {wanted} file",
        )


def _sdk(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    needed = max(choice.variant.min_sdk, *(part.apk.min_sdk for part in choice.parts), 1)
    if device.sdk is not None and needed > device.sdk:
        yield Problem(
            "sdk-too-old",
            f"{_base(choice).package} needs {describe_sdk(needed)}; "
            f"{device.name} has {describe_sdk(device.sdk)}",
            hint="look for an older release of the app",
        )


def _low_target(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    base = _base(choice)
    lowest = lowest_target_sdk(device.sdk or 0)
    if base.target_sdk < lowest:
        yield Problem(
            "low-target",
            f"{base.package} is made for {describe_sdk(base.target_sdk)}; {device.name} blocks "
            f"apps made for anything before {describe_sdk(lowest)}",
            severity="warning",
            hint="labkit asks Android to let it pass; it may still run badly",
        )


def _space(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    size, free = choice.size_bytes, device.free_bytes
    if free is None or free >= 2 * size:
        return
    yield Problem(
        "no-space" if free < size else "low-space",
        f"{_base(choice).package} takes {_mb(size)} to send and about {_mb(2 * size)} to install; "
        f"{device.name} has {_mb(free)} free",
        severity="error" if free < size else "warning",
        kind="refused",
        hint="uninstall something, or clear caches in the TV's storage settings",
    )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.1f} MB"


def _requirements(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    base = _base(choice)
    if device.libraries is not None:
        for library in base.manifest.libraries:
            if library.required and library.name not in device.libraries:
                yield Problem(
                    "missing-library",
                    f"{base.package} needs the library {library.name}, "
                    f"which {device.name} does not have",
                    hint="it is built for other devices",
                )
    if device.features is not None:
        for feature in base.features:
            known = feature.name in device.features or feature.name == _TOUCHSCREEN
            if feature.required and not known:
                yield Problem(
                    "missing-feature",
                    f"{base.package} asks for {feature.name}, which {device.name} does not have",
                    severity="warning",
                    hint="Android installs it all the same; parts of it may not work",
                )


# --- what is installed ---------------------------------------------------------------------


def _signer(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    base = _base(choice)
    installed = device.installed.get(base.package)
    if installed is None:
        return
    if installed.signers is None:
        yield Problem(
            "signer-unknown",
            f"{base.package} is installed, and {device.name} does not tell by which key it is "
            "signed; it refuses the update if that key is another one",
            severity="warning",
        )
    elif not _may_update(choice.variant.base, installed, device.sdk):
        yield Problem(
            "signer-mismatch",
            f"{base.package} on {device.name} is signed by another key than {base.name}; "
            "Android never updates across keys",
            kind="data-loss",
            hint=_replace_hint(base.package, installed),
        )


def _may_update(part: Part, installed: InstalledApp, sdk: int | None) -> bool:
    signers = part.apk.signatures.on(sdk).signers
    own = {signer.certificate.java_hash for signer in signers}
    lineage = {old.java_hash for signer in signers for old in signer.lineage}
    current = installed.signers or frozenset()
    if not own:
        return True  # judged by the rule on signatures
    return own == current or current <= lineage or own <= installed.rollback_signers


def _downgrade(choice: Choice, device: DeviceFacts) -> Iterator[Problem]:
    base = _base(choice)
    installed = device.installed.get(base.package)
    if installed is None or installed.version_code is None:
        return
    if base.version_code >= installed.version_code:
        return
    debug = installed.debuggable and (device.sdk is None or device.sdk < _NO_DOWNGRADE_SDK)
    yield Problem(
        "downgrade",
        f"{base.package} {_version(base.version_name, base.version_code)} is older than "
        f"{_version(installed.version_name, installed.version_code)} on {device.name}",
        kind="data-loss",
        hint="use --downgrade" if debug else _replace_hint(base.package, installed),
    )


def _version(name: str | None, code: int) -> str:
    return f"{name} ({code})" if name else str(code)


def _replace_hint(package: str, installed: InstalledApp) -> str:
    if installed.system:
        return "it belongs to the TV's own software and can only be disabled"
    return (
        f"keep it, or save it with `labkit tv save {package}` and use --replace, "
        "which uninstalls it and loses its data"
    )


_FILE_RULES: tuple[Callable[[Choice], Iterable[Problem]], ...] = (
    _damage,
    _missing_splits,
    _television,
)
_DEVICE_RULES: tuple[Callable[[Choice, DeviceFacts], Iterable[Problem]], ...] = (
    _signature,
    _sdk,
    _abi,
    _signer,
    _downgrade,
    _space,
    _requirements,
    _low_target,
)
