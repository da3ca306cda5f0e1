"""The H.264 encoders of ffmpeg: which one works here, and the commands that use them.

The hardware encoders are listed by `ffmpeg -encoders` whether or not there is such hardware, so a
short real encode decides. It takes the same way through ffmpeg as the conversion: frames are
decoded and scaled in software and handed to the encoder, which leaves the costly part to the
hardware and works wherever the probe worked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import ProgramMissingError, UnmetError
from labkit.programs import install_hint, program_version, require_program, run_program
from labkit.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from labkit.progress import Progress

__all__ = [
    "Encoder",
    "EncoderChoice",
    "EncoderSetup",
    "Ffmpeg",
    "choose_encoder",
    "find_ffmpeg",
    "probe_command",
    "transcode_command",
]

_PROBE_TIMEOUT_S = 30.0
_DEVICES = Path("/dev/dri")


@unique
class Encoder(StrEnum):
    """An encoder for H.264."""

    X264 = "x264"
    NVENC = "nvenc"
    QSV = "qsv"
    VAAPI = "vaapi"


@unique
class EncoderChoice(StrEnum):
    """What a user can ask for: an encoder, or the best that works."""

    AUTO = "auto"
    X264 = "x264"
    NVENC = "nvenc"
    VAAPI = "vaapi"
    QSV = "qsv"


_BY_SPEED = (Encoder.NVENC, Encoder.QSV, Encoder.VAAPI, Encoder.X264)


@dataclass(frozen=True)
class EncoderSetup:
    """An encoder that works here, and the device that it works on (VAAPI)."""

    encoder: Encoder
    device: Path | None = None


@dataclass(frozen=True)
class Ffmpeg:
    """An installed ffmpeg.

    Attributes:
        path: Where it is.
        has_fps_mode: Whether it knows `-fps_mode` (5.1 and later) instead of `-vsync`, which
            later versions have dropped.
    """

    path: Path
    has_fps_mode: bool = True


def find_ffmpeg() -> Ffmpeg:
    """Find ffmpeg.

    Raises:
        ProgramMissingError: It is not installed; the hint says how to install it.
    """
    path = require_program("ffmpeg")
    version = re.match(r"(\d+)\.(\d+)", program_version("ffmpeg", path) or "")
    # A build from the sources has no such number; it is taken for a recent one.
    is_old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return Ffmpeg(path, has_fps_mode=not is_old)


def choose_encoder(
    ffmpeg: Ffmpeg, choice: EncoderChoice, *, progress: Progress = SILENT
) -> EncoderSetup:
    """Find the encoder that the user asked for, or the fastest that works; proven by encoding.

    Raises:
        UnmetError: It does not work here; the message has ffmpeg's own reason.
    """
    wanted = _BY_SPEED if choice is EncoderChoice.AUTO else (Encoder(choice.value),)
    reason = ""
    for setup in _setups(wanted):
        if choice is EncoderChoice.AUTO:
            progress.message(f"trying the encoder {setup.encoder} ...")
        fault = _probe(ffmpeg, setup)
        if fault is None:
            return setup
        reason = fault
    names = ", ".join(wanted)
    raise UnmetError(
        f"ffmpeg cannot encode H.264 with {names} here: {reason or 'there is no such device'}",
        hint=_encoder_hint(choice),
        code="encoder-missing",
    )


def _probe(ffmpeg: Ffmpeg, setup: EncoderSetup) -> str | None:
    """Why the encoder does not work; None when it does."""
    try:
        result = run_program(probe_command(ffmpeg, setup), timeout_s=_PROBE_TIMEOUT_S)
    except ProgramMissingError:
        raise
    except UnmetError as error:  # a driver that hangs
        return error.message
    return _first_line(result.stderr) if result.returncode else None


def _setups(encoders: Iterable[Encoder]) -> Iterator[EncoderSetup]:
    for encoder in encoders:
        if encoder is Encoder.VAAPI:
            for device in sorted(_DEVICES.glob("renderD*")):
                yield EncoderSetup(encoder, device)
        else:
            yield EncoderSetup(encoder)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "it did not say why")


def _encoder_hint(choice: EncoderChoice) -> str:
    if choice in {EncoderChoice.X264, EncoderChoice.AUTO}:
        # Some distributions build ffmpeg without libx264.
        return f"this ffmpeg was built without libx264; {install_hint('ffmpeg')}"
    return "use `--encoder x264`, which needs no hardware, or `--encoder auto`"


def probe_command(ffmpeg: Ffmpeg, setup: EncoderSetup) -> list[str]:
    """Write the command that encodes three frames of a test picture to nowhere."""
    return [
        *(str(ffmpeg.path), "-nostdin", "-hide_banner", "-loglevel", "error"),
        *_device(setup),
        *("-f", "lavfi", "-i", "testsrc2=size=256x256:duration=0.1"),
        *_video(setup, crf=23, max_height=None),
        *("-f", "null", "-"),
    ]


def transcode_command(
    ffmpeg: Ffmpeg,
    setup: EncoderSetup,
    source: Path,
    target: Path,
    *,
    telemetry: int | None,
    crf: int,
    max_height: int | None,
) -> list[str]:
    """Write the command that converts `source` to H.264 in `target`.

    Picture, sound, telemetry and time code are kept, with every frame at its own time and the
    creation time. `udta`, which holds the rest, is not: ffmpeg cannot carry it.

    Args:
        ffmpeg: The program.
        setup: The encoder.
        source: The file to read.
        target: The file to write, of any name.
        telemetry: The index of the GPMF track in `source`; None where there is none.
        crf: The quality, from 0 (lossless, huge) to 51; 20 is hard to tell from the original.
        max_height: Scale pictures higher than this down to it; None keeps the size.
    """
    timing = ("-fps_mode" if ffmpeg.has_fps_mode else "-vsync", "passthrough")
    data = ("-map", f"0:{telemetry}") if telemetry is not None else ()
    return [
        *(str(ffmpeg.path), "-nostdin", "-y", "-hide_banner", "-loglevel", "error"),
        *_device(setup),
        *("-i", f"file:{source}"),  # `file:` keeps a name with a colon from being a protocol
        *("-map", "0:v:0", "-map", "0:a?", *data),
        *("-c", "copy", *_video(setup, crf=crf, max_height=max_height), *timing),
        *("-map_metadata", "0", "-progress", "pipe:1", "-nostats"),
        *("-f", "mp4", f"file:{target}"),
    ]


def _device(setup: EncoderSetup) -> tuple[str, ...]:
    return ("-vaapi_device", str(setup.device)) if setup.device is not None else ()


def _video(setup: EncoderSetup, *, crf: int, max_height: int | None) -> list[str]:
    """The options that decide the picture: 8 bits, 4:2:0, whatever the source has."""
    filters: list[str] = []
    if max_height is not None:
        # H.264 in 4:2:0 needs even sizes; -2 keeps the proportions with an even width.
        filters.append(f"scale=-2:trunc(min({max_height}\\,ih)/2)*2")
    quality = str(crf)
    match setup.encoder:
        case Encoder.X264:
            options = ["-c:v", "libx264", "-preset", "medium", "-crf", quality]
            pixels = ["-pix_fmt", "yuv420p"]
        case Encoder.NVENC:
            rate = ["-rc", "vbr", "-cq", quality, "-b:v", "0"]
            options = ["-c:v", "h264_nvenc", "-preset", "p5", *rate]
            pixels = ["-pix_fmt", "yuv420p"]
        case Encoder.QSV:
            options = ["-c:v", "h264_qsv", "-global_quality", quality]
            pixels = ["-pix_fmt", "nv12"]
        case Encoder.VAAPI:
            filters += ["format=nv12", "hwupload"]
            options = ["-c:v", "h264_vaapi", "-qp", quality]
            pixels = []
    chain = ["-vf", ",".join(filters)] if filters else []
    return [*chain, *options, *pixels]
