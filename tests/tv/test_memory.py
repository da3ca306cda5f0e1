"""What reading costs: memory that does not grow with the file, and modules that are not loaded."""

import struct
from pathlib import Path

import pytest

LIMIT_KIB = 100 * 1000


def with_hole(apk, target, size_bytes):
    """Copy an unsigned APK, with an entry in it that takes `size_bytes` and no room on the disk."""
    data = apk.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    count, _, directory = struct.unpack_from("<H2I", data, end + 10)
    name = b"assets/hole"
    fixed = struct.pack("<5H3I2H", 20, 0, 0, 0, 0x21, 0, size_bytes, size_bytes, len(name), 0)
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + fixed + bytes(10) + struct.pack("<I", directory)
    entries = data[directory:end] + entry + name
    with target.open("wb") as out:
        out.write(data[:directory] + b"PK\x03\x04" + fixed + name)
        out.seek(size_bytes, 1)
        start = out.tell()
        out.write(entries)
        totals = struct.pack("<2H2I", count + 1, count + 1, len(entries), start)
        out.write(b"PK\x05\x06" + bytes(4) + totals + bytes(2))
    return target


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_file_of_a_gigabyte_is_checked_in_little_memory(apk_builder, spawn_python, tmp_path):
    """Reading it in one piece would take ten times the limit."""
    apk = apk_builder.build(abis=["armeabi-v7a"], keys=())
    large = with_hole(apk, tmp_path / "large.apk", 1_000_000_000)
    # A process starts with the peak of its parent in `getrusage`, but not in /proc.
    result = spawn_python(
        "import re; from pathlib import Path; from labkit.tv.bundles import open_apps; "
        "from labkit.tv.fit import check_app\n"
        f"with open_apps([{str(large)!r}]) as (app,): apk = check_app(app).base\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(apk.size_bytes, *apk.abis, re.search(r'VmHWM:\\s+(\\d+)', status)[1])"
    )
    size, abi, peak_kib = result.stdout.split()
    assert int(size) == large.stat().st_size
    assert abi == "armeabi-v7a"
    assert int(peak_kib) < LIMIT_KIB
