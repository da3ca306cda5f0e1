"""The last step of a transfer: what is on disk before a file gets its name."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.transfer import finish


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    """Flush, rename, flush the folder: a power cut leaves the part or the whole file."""
    order = []
    flush, rename = os.fsync, Path.replace

    def fsync(handle):
        order.append("folder" if os.path.isdir(handle) else "file")  # noqa: PTH112 - a handle
        flush(handle)

    def replace(self, target):
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    part = tmp_path / "GX010001.MP4.part"
    part.write_bytes(b"whole")
    finish(part, tmp_path / "GX010001.MP4")
    assert order == ["file", "rename", "folder"]
