"""Make the files that a camera would write, with the real ffmpeg and a few boxes of our own."""

from __future__ import annotations

import struct
import subprocess

CREATED = "2024-05-06T07:08:09.000000Z"
LOCATION = "+10.1234+020.1234/"


def box(kind, *contents):
    """An MP4 box."""
    body = b"".join(contents)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind, *contents):
    """An MP4 box with version and flags 0."""
    return box(kind, bytes(4), *contents)


def run_ffmpeg(ffmpeg, *arguments):
    """Run ffmpeg silently; its complaints end the test."""
    command = [ffmpeg, "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def camera_user_data():
    """The `udta` box of a camera: firmware, two HiLights of room for a hundred, the place."""
    place = LOCATION.encode()
    return box(
        b"udta",
        box(b"FIRM", b"HD9.01.01.72.00"),
        box(b"HMMT", struct.pack(">III", 2, 300, 700), bytes(392)),
        box(b"\xa9xyz", struct.pack(">HH", len(place), 0x15C7), place),
    )


def make_clip(ffmpeg, path, *, codec="libx265", pixels="yuv420p", seconds=1.0, size="320x180"):
    """Encode a moving picture with a tone, a time code, a creation time and a location."""
    quiet = ("-x265-params", "log-level=error") if codec == "libx265" else ()
    run_ffmpeg(
        ffmpeg,
        *("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30000/1001:duration={seconds}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"),
        *("-c:v", codec, *quiet, "-preset", "ultrafast", "-pix_fmt", pixels),
        *("-c:a", "aac", "-shortest", "-timecode", "01:02:03:04"),
        *("-metadata", f"creation_time={CREATED}", "-fflags", "+bitexact"),
        *(("-tag:v", "hvc1") if codec == "libx265" else ()),
        path,
    )
    return path


def telemetry_payload(index):
    """A small GPMF stream, different for each second."""
    value = struct.pack(">4scBH", b"TSMP", b"L", 4, 1) + struct.pack(">I", index)
    stream = struct.pack(">4sBBH", b"STRM", 0, 1, len(value)) + value
    return struct.pack(">4sBBH", b"DEVC", 0, 1, len(stream)) + stream


def add_track(path, codec, payloads, *, sample_ms=1001):
    """Add a data track such as a camera's `gpmd` to an MP4 whose `moov` comes last."""
    data = path.read_bytes()
    start = data.rindex(b"moov") - 4
    moov = data[start + 8 :]
    assert struct.unpack(">I", data[start : start + 4])[0] == len(moov) + 8
    media = box(b"mdat", *payloads)
    offsets, position = [], start + 8
    for payload in payloads:
        offsets.append(position)
        position += len(payload)
    track = _data_track(codec, payloads, offsets, sample_ms, moov.count(b"tkhd") + 1)
    path.write_bytes(data[:start] + media + box(b"moov", moov, track))
    return path


def set_user_data(path, udta):
    """Give an MP4 whose `moov` comes last this `udta` instead of its own."""
    data = path.read_bytes()
    start = data.rindex(b"moov") - 4
    moov = data[start + 8 :]
    own = moov.rindex(b"udta") - 4 if b"udta" in moov else len(moov)
    path.write_bytes(data[:start] + box(b"moov", moov[:own], udta))
    return path


def _data_track(codec, payloads, offsets, sample_ms, number):
    count = len(payloads)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    sizes = [len(payload) for payload in payloads]
    table = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1), box(codec, bytes(6), struct.pack(">H", 1))),
        full_box(b"stts", struct.pack(">III", 1, count, sample_ms)),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full_box(b"stsz", struct.pack(f">II{count}I", 0, count, *sizes)),
        full_box(b"stco", struct.pack(f">I{count}I", count, *offsets)),
    )
    data_here = full_box(b"dref", struct.pack(">I", 1), box(b"url ", struct.pack(">I", 1)))
    header = struct.pack(">IIIIII", 1, 0, 0, number, 0, count * sample_ms)
    return box(
        b"trak",
        box(b"tkhd", header, bytes(16), matrix, bytes(8)),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">IIII", 0, 0, 1000, count * sample_ms), bytes(4)),
            full_box(b"hdlr", bytes(4), b"meta", bytes(12), b"GoPro MET\x00"),
            box(b"minf", full_box(b"nmhd"), box(b"dinf", data_here), table),
        ),
    )


def make_camera_clip(ffmpeg, path, **options):
    """A clip as HERO6 and later write it: HEVC, sound, time code, telemetry and `fdsc`."""
    make_clip(ffmpeg, path, **options)
    set_user_data(path, camera_user_data())
    add_track(path, b"gpmd", [telemetry_payload(index) for index in range(3)])
    return add_track(path, b"fdsc", [bytes([index] * 16) for index in range(20)], sample_ms=0)


def make_jpeg(ffmpeg, path, size="320x240"):
    """A JPEG photo."""
    run_ffmpeg(
        ffmpeg, "-f", "lavfi", "-i", f"testsrc2=size={size}:duration=0.1", "-frames:v", 1,
        "-f", "mjpeg", path,
    )  # fmt: skip
    return path


def make_tiff(picture=bytes(5000), *, order="<"):
    """A photo laid out like a GPR: a thumbnail directory, the raw strips in a sub-directory."""
    half = len(picture) // 2
    main_at, sub_at, strips_at, picture_at = 8, 100, 300, 400

    def directory(*entries, following=0):
        rows = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
        return struct.pack(f"{order}H", len(entries)) + rows + struct.pack(f"{order}I", following)

    parts = {
        0: {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(f"{order}I", main_at),
        main_at: directory((330, 4, 1, sub_at)),
        sub_at: directory((273, 4, 2, strips_at), (279, 4, 2, strips_at + 8)),
        strips_at: struct.pack(
            f"{order}IIII", picture_at, picture_at + half, half, len(picture) - half
        ),
        picture_at: picture,
    }
    data = bytearray(picture_at + len(picture))
    for start, part in parts.items():
        data[start : start + len(part)] = part
    return bytes(data)
