"""Installable apps, made out of the APKs that were found: what belongs together, and what not."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.tv.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from labkit.tv.apk import Apk
    from labkit.tv.toc import TocVariant
    from labkit.tv.window import Span

__all__ = ["App", "Expansion", "Found", "Part", "Variant", "group_apps"]


@dataclass(frozen=True)
class Part:
    """One APK of an app, and where its bytes are.

    Attributes:
        apk: What it is.
        span: Its bytes; `span.open()` reads them while `open_apps` lasts.
    """

    apk: Apk
    span: Span


@dataclass(frozen=True)
class Variant:
    """A base and its splits, of which each name occurs once: what one installation may send.

    Attributes:
        base: The base, or the whole app.
        splits: The other parts.
        min_sdk: The lowest API level that it is meant for.
        rank: Among those that fit, the highest is for the newest devices.
    """

    base: Part
    splits: tuple[Part, ...] = ()
    min_sdk: int = 1
    rank: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, the base first."""
        return (self.base, *self.splits)


@dataclass(frozen=True)
class Expansion:
    """A data file that an `.xapk` brings beside its APKs (OBB).

    Attributes:
        device_path: Where it belongs, relative to the TV's shared storage.
        span: Its bytes.
    """

    device_path: str
    span: Span


@dataclass(frozen=True)
class App:
    """One app that can be installed.

    Attributes:
        name: The file or folder that the user gave (the first of them).
        package: Its application id.
        variants: The alternatives to install, at least one.
        expansions: Data files to copy afterwards.
    """

    name: str
    package: str
    variants: tuple[Variant, ...]
    expansions: tuple[Expansion, ...] = ()

    @property
    def is_split(self) -> bool:
        """Whether there are parts to choose from."""
        return any(variant.splits for variant in self.variants)

    @property
    def needs_libraries(self) -> bool:
        """Whether it asks for libraries of the system."""
        parts = (part for variant in self.variants for part in variant.parts)
        return any(library.required for part in parts for library in part.apk.manifest.libraries)


@dataclass(frozen=True)
class Found:
    """What lies in one file or folder.

    Attributes:
        name: The file or folder.
        parts: Its APKs.
        toc: What its table of contents says, where it has one.
        expansions: Data files for the TV's shared storage.
        is_container: Whether it is a bundle or a folder, not a single APK.
    """

    name: str
    parts: tuple[Part, ...]
    toc: tuple[TocVariant, ...] = ()
    expansions: tuple[Expansion, ...] = ()
    is_container: bool = True


def group_apps(found: Iterable[Found]) -> tuple[App, ...]:
    """Make apps out of what was found; loose APKs of one package make one app.

    Raises:
        BundleError: Parts are missing, doubled, or of several apps.
    """
    apps = [_app(each) for each in _join_loose(found)]
    for package, count in Counter(app.package for app in apps).items():
        if count > 1:
            names = " and ".join(app.name for app in apps if app.package == package)
            raise BundleError(
                f"{package} is given {count} times: {names}",
                hint="name the one to install",
                code="same-app-twice",
            )
    return tuple(apps)


def _join_loose(found: Iterable[Found]) -> list[Found]:
    """Join the APKs that were given one by one, by package."""
    joined: list[Found] = []
    places: dict[str, int] = {}
    for each in found:
        package = each.parts[0].apk.package
        if not each.is_container and package in places:
            first = joined[places[package]]
            joined[places[package]] = replace(first, parts=first.parts + each.parts)
            continue
        if not each.is_container:
            places[package] = len(joined)
        joined.append(each)
    return joined


def _named_by_base(found: Found) -> Found:
    """Name parts that were given one by one after their base, whichever came first."""
    names = [part.apk.name for part in found.parts if part.apk.split is None]
    return found if found.is_container or not names else replace(found, name=", ".join(names))


def _app(found: Found) -> App:
    found = _named_by_base(found)
    packages = sorted({part.apk.package for part in found.parts})
    if len(packages) > 1:
        raise BundleError(
            f"{found.name} holds {len(packages)} apps: {', '.join(packages)}",
            hint="unpack it and name the APKs of one app, or each app's folder",
            code="several-apps",
        )
    variants = _variants_of_toc(found) if found.toc else _variants_of_parts(found)
    return App(found.name, packages[0], variants, found.expansions)


def _variants_of_toc(found: Found) -> tuple[Variant, ...]:
    by_path = {part.apk.name.removeprefix(f"{found.name}!"): part for part in found.parts}
    return tuple(
        _variant(found, [by_path[path] for path in toc.paths], min_sdk=toc.min_sdk, rank=toc.number)
        for toc in found.toc
    )


def _variants_of_parts(found: Found) -> tuple[Variant, ...]:
    bases = [part for part in found.parts if part.apk.split is None]
    splits = [part for part in found.parts if part.apk.split is not None]
    if len(bases) <= 1:
        return (_variant(found, found.parts),)
    _refuse_ambiguous(found, bases)
    variants = []
    for base in bases:
        own = [split for split in splits if _belongs(split, base, bases)]
        splits = [split for split in splits if split not in own]
        variants.append(_variant(found, [base, *own], min_sdk=base.apk.min_sdk))
    if splits:
        raise _mixed_versions(found, splits[0], bases[0])
    return tuple(variants)


def _refuse_ambiguous(found: Found, bases: Iterable[Part]) -> None:
    """Several whole apps are alternatives only as one release for different devices."""
    releases = {(base.apk.version_name, base.apk.signers()) for base in bases}
    if len(releases) > 1:
        versions = ", ".join(
            f"{base.apk.name} ({base.apk.version_name or base.apk.version_code})" for base in bases
        )
        raise BundleError(
            f"these are several releases of {found.parts[0].apk.package}: {versions}",
            hint="name the one to install",
            code="same-app-twice",
        )
    groups: defaultdict[tuple[int, tuple[str, ...]], list[str]] = defaultdict(list)
    for base in bases:
        groups[base.apk.min_sdk, base.apk.abis].append(base.apk.name)
    for names in groups.values():
        if len(names) > 1:
            raise BundleError(
                f"{found.name} holds the same app more than once: {', '.join(names)}",
                hint="name the one to install",
                code="same-app-twice",
            )


def _belongs(split: Part, base: Part, bases: Sequence[Part]) -> bool:
    if split.apk.version_code != base.apk.version_code:
        return False
    rivals = [other for other in bases if other.apk.version_code == base.apk.version_code]
    return len(rivals) == 1 or split.apk.min_sdk == base.apk.min_sdk


def _variant(found: Found, parts: Iterable[Part], *, min_sdk: int = 1, rank: int = 0) -> Variant:
    parts = list(parts)
    bases = [part for part in parts if part.apk.split is None]
    splits = [part for part in parts if part.apk.split is not None]
    if not bases:
        raise BundleError(
            f"{found.name} holds parts of {parts[0].apk.package} without its base",
            hint="give the base APK as well, or the whole .apks, .apkm or .xapk file",
            code="no-base",
        )
    names = Counter(part.apk.split or "the base" for part in parts)
    for name, count in names.items():
        if count > 1:
            files = ", ".join(p.apk.name for p in parts if (p.apk.split or "the base") == name)
            raise BundleError(
                f"{name} of {parts[0].apk.package} is there {count} times: {files}",
                hint="leave one of them",
                code="duplicate-split",
            )
    for split in splits:
        if split.apk.version_code != bases[0].apk.version_code:
            raise _mixed_versions(found, split, bases[0])
    return Variant(bases[0], tuple(splits), min_sdk, rank)


def _mixed_versions(found: Found, split: Part, base: Part) -> BundleError:
    return BundleError(
        f"{found.name} mixes versions: {split.apk.name} is {split.apk.version_code}, "
        f"{base.apk.name} is {base.apk.version_code}",
        hint="take all parts from one release",
        code="mixed-versions",
    )
