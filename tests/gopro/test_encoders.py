"""The commands for ffmpeg, and which encoder is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ProgramMissingError, UnmetError
from labkit.gopro.encoders import (
    Encoder,
    EncoderChoice,
    EncoderSetup,
    Ffmpeg,
    choose_encoder,
    find_ffmpeg,
    probe_command,
    transcode_command,
)

FFMPEG = Ffmpeg(Path("/usr/bin/ffmpeg"))
SETUPS = [
    EncoderSetup(Encoder.X264),
    EncoderSetup(Encoder.NVENC),
    EncoderSetup(Encoder.QSV),
    EncoderSetup(Encoder.VAAPI, Path("/dev/dri/renderD129")),
]


def command_for(setup, *, ffmpeg=FFMPEG, telemetry=3, max_height=None):
    """A command as a string, as a person would type it."""
    command = transcode_command(
        ffmpeg,
        setup,
        Path("/clips/GX010001.MP4"),
        Path("/clips/out.part"),
        telemetry=telemetry,
        crf=20,
        max_height=max_height,
    )
    return " ".join(command)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.encoder)
def test_every_encoder_keeps_tracks_and_time(setup):
    """One picture, all sound, the telemetry by its index, every frame at its own time."""
    command = command_for(setup)
    assert "-map 0:v:0 -map 0:a? -map 0:3" in command
    assert "-c copy" in command
    assert "-map_metadata 0" in command
    assert "-fps_mode passthrough" in command
    assert command.endswith("-f mp4 file:/clips/out.part")


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.encoder)
def test_every_encoder_gets_8_bits(setup):
    """4:2:0 in 8 bits, which every player knows."""
    command = command_for(setup)
    assert "-pix_fmt yuv420p" in command or "nv12" in command


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.encoder)
def test_the_probe_encodes_the_same_way(setup):
    """What the probe proves holds for the conversion: the same options for the picture."""
    probe = " ".join(probe_command(FFMPEG, setup))
    encoder = {"x264": "libx264"}.get(setup.encoder, f"h264_{setup.encoder}")
    assert f"-c:v {encoder}" in probe
    assert probe.endswith("-f null -")
    assert ("-vaapi_device /dev/dri/renderD129" in probe) == (setup.device is not None)


def test_the_height_is_limited_to_an_even_number():
    """Smaller pictures keep their size, the proportions stay."""
    command = command_for(SETUPS[0], max_height=1080)
    assert r"-vf scale=-2:trunc(min(1080\,ih)/2)*2" in command
    assert "scale" not in command_for(SETUPS[0])
    assert r"/2)*2,format=nv12,hwupload" in command_for(SETUPS[3], max_height=1080)


def test_a_clip_without_telemetry_asks_for_none():
    """No third map where there is nothing to map."""
    assert command_for(SETUPS[0], telemetry=None).count("-map 0:") == 2


def test_an_old_ffmpeg_gets_the_old_option():
    """Before 5.1 there was only `-vsync`; since 8 there is only `-fps_mode`."""
    command = command_for(SETUPS[0], ffmpeg=Ffmpeg(Path("ffmpeg"), has_fps_mode=False))
    assert "-vsync passthrough" in command
    assert "fps_mode" not in command


def install_ffmpeg(folder, monkeypatch, script):
    """Put a shell script named ffmpeg in front of all other programs."""
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("version", "has_fps_mode"),
    [("4.4.2-0ubuntu0.22.04.1", False), ("5.0.1", False), ("5.1.9-0+deb12u1", True),
     ("n7.1", True), ("N-109-gabcdef", True)],
)  # fmt: skip
def test_the_version_decides_the_option(tmp_path, monkeypatch, version, has_fps_mode):
    """Also for builds with a letter in front, and without a number."""
    install_ffmpeg(tmp_path, monkeypatch, f"echo 'ffmpeg version {version} Copyright'")
    assert find_ffmpeg().has_fps_mode is has_fps_mode


def test_a_missing_ffmpeg_has_a_hint(monkeypatch, tmp_path):
    """The error says how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("labkit.programs._SYSTEM_FOLDERS", ())
    with pytest.raises(ProgramMissingError) as raised:
        find_ffmpeg()
    assert "install" in raised.value.hint


def test_the_software_encoder_works_here(need_tool):
    """The real ffmpeg encodes the test picture."""
    need_tool("ffmpeg")
    assert choose_encoder(find_ffmpeg(), EncoderChoice.X264).encoder is Encoder.X264


def test_auto_takes_an_encoder_that_really_encodes(need_tool):
    """Hardware encoders are listed without the hardware; `auto` finds one that works."""
    need_tool("ffmpeg")
    assert choose_encoder(find_ffmpeg(), EncoderChoice.AUTO).encoder in set(Encoder)


def test_auto_goes_by_speed(tmp_path, monkeypatch):
    """With every encoder at hand the graphics card's is taken; then the next that works."""
    install_ffmpeg(tmp_path, monkeypatch, "exit 0")
    assert choose_encoder(installed(tmp_path), EncoderChoice.AUTO).encoder is Encoder.NVENC
    install_ffmpeg(tmp_path, monkeypatch, 'case "$*" in *nvenc*) exit 1;; esac')
    assert choose_encoder(installed(tmp_path), EncoderChoice.AUTO).encoder is Encoder.QSV


def installed(folder):
    """The ffmpeg that was just installed."""
    return Ffmpeg(folder / "ffmpeg")


def test_a_driver_that_hangs_is_passed_over(tmp_path, monkeypatch):
    """The next encoder gets its turn."""
    install_ffmpeg(tmp_path, monkeypatch, 'case "$*" in *nvenc*) exec sleep 60;; esac')
    monkeypatch.setattr("labkit.gopro.encoders._PROBE_TIMEOUT_S", 0.5)
    assert choose_encoder(installed(tmp_path), EncoderChoice.AUTO).encoder is Encoder.QSV


def test_an_encoder_that_does_not_work_is_unmet(tmp_path, monkeypatch):
    """The message has ffmpeg's reason, the hint the way out."""
    install_ffmpeg(tmp_path, monkeypatch, "echo 'Cannot load libcuda.so.1' >&2; exit 1")
    with pytest.raises(UnmetError) as raised:
        choose_encoder(installed(tmp_path), EncoderChoice.NVENC)
    assert "libcuda" in raised.value.message
    assert "--encoder x264" in raised.value.hint
    with pytest.raises(UnmetError, match="libcuda") as raised:
        choose_encoder(installed(tmp_path), EncoderChoice.X264)
    assert "libx264" in raised.value.hint
