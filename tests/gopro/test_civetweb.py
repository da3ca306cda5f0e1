"""Against a web server that nobody here wrote: Debian's civetweb, the family of newer cameras."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time

import pytest

from labkit.gopro import Camera, PullOptions, parse_address, pull
from labkit.gopro.audit import verify
from labkit.transfer import Patience, fetch, new_session


@pytest.fixture
def civetweb(need_tool, card, tmp_path):
    """The card served by civetweb: its address and the requests that it logged."""
    program = need_tool("civetweb")
    root = tmp_path / "www"
    for file in card.files:
        path = root / "videos/DCIM" / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "access.log"
    settings = {
        "document_root": root,
        "listening_ports": f"127.0.0.1:{port}",
        "enable_directory_listing": "yes",
        "enable_keep_alive": "no",
        "access_log_file": log,
    }
    command = [program, *(word for k, v in settings.items() for word in (f"-{k}", str(v)))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    yield parse_address(f"127.0.0.1:{port}"), log
    process.terminate()
    process.wait(timeout=10)


def find(address):
    """Find the server, as a camera."""
    return Camera.find(address, dialect="html", patience=Patience(stall_timeout_s=3))


def test_everything_comes_once(civetweb, tmp_path, card, assert_whole):
    """The folder pages are read, every file comes whole, a second run asks for pages only."""
    address, log = civetweb
    result = pull(find(address), tmp_path / "dest")
    assert_whole(result)
    assert len(result.downloaded) == 12
    before = log.read_text().count("GET")
    again = pull(find(address), tmp_path / "dest")

    assert not again.downloaded
    assert len(again.skipped) == 12
    assert log.read_text().count("GET") - before == 3  # DCIM and two folders
    assert not verify(tmp_path / "dest", camera=find(address)).bad


def test_the_dialect_is_found_by_asking(civetweb):
    """404 for both JSON lists: the pages are next."""
    address, _ = civetweb

    assert Camera.find(address).dialect.name == "html"


def test_a_part_is_continued(civetweb, tmp_path, card):
    """Its range answers fit: only the rest is sent."""
    address, _ = civetweb
    content = card.find("100GOPRO", "GX010010.MP4").content
    part = tmp_path / "clip.part"
    part.write_bytes(content[:1_000_000])
    url = address.url("/videos/DCIM/100GOPRO/GX010010.MP4")
    with new_session(direct=True) as session:
        fetched = fetch(url, part, session=session, expected_size=len(content))

    assert part.read_bytes() == content
    assert fetched.received_bytes == 200_000 + 65_536


def test_wget_brings_the_same(civetweb, tmp_path, assert_whole, need_tool):
    """The same plan, journal and verification with GNU Wget as the carrier."""
    need_tool("wget")
    address, _ = civetweb
    result = pull(find(address), tmp_path / "dest", PullOptions(backend="wget"))

    assert_whole(result)
    assert len(result.downloaded) == 12
