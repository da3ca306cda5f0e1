"""Which parts of a split app a TV needs.

The rules are those of bundletool's device matching: one processor type in all modules, the density
bucket that scales best, the user's languages.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from labkit.tv.apps import App, Part, Variant
    from labkit.tv.facts import DeviceFacts

__all__ = [
    "KNOWN_ABIS",
    "Choice",
    "SplitKind",
    "SplitTarget",
    "choose_density",
    "choose_parts",
    "split_target",
]

KNOWN_ABIS = (
    "armeabi",
    "armeabi-v7a",
    "arm64-v8a",
    "x86",
    "x86_64",
    "mips",
    "mips64",
    "riscv64",
)
"""The processor types that Android knows or knew."""

_DENSITIES: Mapping[str, int] = {
    "ldpi": 120,
    "mdpi": 160,
    "tvdpi": 213,
    "hdpi": 240,
    "xhdpi": 320,
    "xxhdpi": 480,
    "xxxhdpi": 640,
}
_ABI_TOKENS = {abi.replace("-", "_"): abi for abi in KNOWN_ABIS}
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[_-]r?[A-Z]{2})?|b\+([a-z]{2,3})(?:\+\w+)*")
# Java's old codes, which Android still writes for some languages.
_OLD_LANGUAGES = {"iw": "he", "in": "id", "ji": "yi"}

SplitKind = Literal["abi", "density", "language", "other"]


@dataclass(frozen=True)
class SplitTarget:
    """What a part of an app is for.

    Attributes:
        module: The part that it configures; empty for the base.
        kind: What it depends on; `other` for a feature, or for what is always needed.
        value: The processor type, the density in dpi as text, or the language.
    """

    module: str
    kind: SplitKind
    value: str = ""


@dataclass(frozen=True)
class Choice:
    """The parts of an app that a TV needs.

    Attributes:
        variant: The alternative that was chosen.
        parts: What to send, the base first.
        left_out: What this TV does not need.
        no_abi: The processor types that are offered, where the TV runs none of them; else empty.
    """

    variant: Variant
    parts: tuple[Part, ...]
    left_out: tuple[Part, ...] = ()
    no_abi: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The size of all that is sent."""
        return sum(part.apk.size_bytes for part in self.parts)


def split_target(name: str, config_for_split: str | None = None) -> SplitTarget:
    """Read what a part is for from its split name, for instance `player.config.arm64_v8a`.

    Args:
        name: The attribute `split` of its manifest.
        config_for_split: The attribute `configForSplit`.
    """
    module, dot, token = name.rpartition("config.")
    if not dot or (module and not module.endswith(".")):
        return SplitTarget(name, "other")
    module = config_for_split if config_for_split is not None else module.removesuffix(".")
    if token in _ABI_TOKENS:
        return SplitTarget(module, "abi", _ABI_TOKENS[token])
    # aapt adds the API level that a density needs: xhdpi_v4.
    density = re.sub(r"_v\d+$", "", token)
    if density in _DENSITIES:
        return SplitTarget(module, "density", str(_DENSITIES[density]))
    if match := _LANGUAGE.fullmatch(token):
        return SplitTarget(module, "language", _language(match[1] or match[2]))
    return SplitTarget(module, "other", token)


def _language(code: str) -> str:
    return _OLD_LANGUAGES.get(code, code)


def choose_parts(app: App, device: DeviceFacts) -> Choice:
    """Choose the variant and the parts of `app` for `device`.

    Where a fact is unknown, everything that depends on it is taken: too much does no harm, but for
    native code, of which Android takes the kind that suits it.
    """
    variant = _choose_variant(app.variants, device)
    targets = {
        id(part): split_target(part.apk.split or "", part.apk.manifest.config_for_split)
        for part in variant.splits
    }
    wanted_abi, no_abi = _choose_abi(targets.values(), device.abis)
    densities = _choose_densities(targets.values(), device.density_dpi)
    languages = {_language(code) for code in device.languages}
    chosen: list[Part] = [variant.base]
    left_out: list[Part] = []
    for part in variant.splits:
        target = targets[id(part)]
        wanted = {
            "abi": wanted_abi is None or target.value == wanted_abi,
            "density": densities.get(target.module) in (None, target.value),
            "language": not languages or target.value in languages,
            "other": True,
        }[target.kind]
        (chosen if wanted else left_out).append(part)
    return Choice(variant, tuple(chosen), tuple(left_out), no_abi)


def _choose_variant(variants: Sequence[Variant], device: DeviceFacts) -> Variant:
    """Choose what runs at all, then what is for the newest devices, then the best native code."""

    def suitability(variant: Variant) -> tuple[bool, int, int, int, int]:
        runs = device.sdk is None or variant.min_sdk <= device.sdk
        abis = variant.base.apk.abis
        rank = _abi_rank(abis, device.abis)
        return (
            runs and rank is not None,
            variant.rank,
            -(rank or 0),
            variant.min_sdk if runs else -variant.min_sdk,
            -len(abis),
        )

    return max(variants, key=suitability)


def _abi_rank(offered: Sequence[str], device_abis: Sequence[str]) -> int | None:
    """Return the place of the best offered type in the TV's list; None where none is on it."""
    if not offered or not device_abis:
        return 0
    return min((device_abis.index(abi) for abi in offered if abi in device_abis), default=None)


def _choose_abi(
    targets: Iterable[SplitTarget], device_abis: Sequence[str]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the processor type for all modules, and what is offered where none suits."""
    offered: defaultdict[str, set[str]] = defaultdict(set)
    for target in targets:
        if target.kind == "abi":
            offered[target.module].add(target.value)
    if not offered or not device_abis:
        return None, ()
    common = set.intersection(*offered.values())
    for abi in device_abis:
        if abi in common:
            return abi, ()
    return None, tuple(sorted(set.union(*offered.values())))


def _choose_densities(targets: Iterable[SplitTarget], wanted: int | None) -> dict[str, str]:
    """Return the density to take in each module, as text; nothing where the TV's is unknown."""
    offered: defaultdict[str, set[int]] = defaultdict(set)
    for target in targets:
        if target.kind == "density":
            offered[target.module].add(int(target.value))
    if wanted is None:
        return {}
    return {module: str(choose_density(values, wanted)) for module, values in offered.items()}


def choose_density(offered: Iterable[int], wanted: int) -> int:
    """Choose among densities the one that Android scales best to `wanted` dpi.

    Scaling down is preferred: between two neighbours the lower one wins only when it is close
    (`ResTable_config::isBetterThan` of the Android Open Source Project).
    """
    values = sorted(offered)
    below = [value for value in values if value <= wanted]
    above = [value for value in values if value >= wanted]
    if not above:
        return values[-1]
    if not below:
        return values[0]
    low, high = below[-1], above[0]
    return low if (2 * low - wanted) * high > wanted * wanted else high
