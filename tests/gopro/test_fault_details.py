"""What the fault table asks for beside the main thing, by number."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ExitCode
from labkit.gopro import Camera, PlanOptions, PullOptions, Selection, parse_address, pull
from labkit.gopro.errors import CameraUnreachableError, NotACameraError
from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_gpr, make_jpeg
from labkit.gopro.html_listing import SizeRange
from labkit.gopro.listing import FolderPage, ListedFile, MediaListing, merge_pages
from labkit.gopro.names import Kind
from labkit.progress import SILENT
from labkit.transfer import Patience
from support.scripted_server import ScriptedServer, status, whole

FOLDER = "100GOPRO"
RAW = make_gpr(200_000, seed=1)
LIST = {"media": [{"d": FOLDER, "fs": [{"n": "GOPR0001.JPG", "s": "10"}]}]}
PATIENCE = Patience(
    connect_timeout_s=0.3, stall_timeout_s=1, busy_wait_s=5, busy_pause_s=0.05, backoff_s=(0.0,)
)


@pytest.fixture
def raw_card():
    """A photo with a RAW file, whose size no list tells."""
    photo = CardFile(FOLDER, "GOPR0001.JPG", make_jpeg(20_000, seed=1))
    return Card([photo, CardFile(FOLDER, "GOPR0001.GPR", RAW)])


@pytest.fixture
def raw_part(tmp_path):
    """A function that leaves a part of the RAW file, as an earlier run does."""

    def leave(content):
        part = tmp_path / "dest/2024-06-15/GOPR0001.GPR.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(content)

    return leave


def test_f01_progress_never_goes_back(camera_with, find, tmp_path):
    """A body that is cut and resumed is no reason to show less than before."""
    steps = []

    class Listener(type(SILENT)):
        def task(self, name, *, total=None, unit="bytes"):
            task = SILENT.task(name, total=total, unit=unit)
            if name.endswith("files"):
                task.reach = lambda done, _=None: steps.append(done)
            return task

    result = pull(find(camera_with("F01")), tmp_path / "dest", progress=Listener())

    assert steps == sorted(steps)
    assert steps[-1] == result.received_bytes


def test_f04_a_complete_part_of_unknown_size_is_not_fetched_again(
    camera_with, pull_from, raw_card, raw_part, assert_whole
):
    """Only its end is, to learn that nothing follows."""
    raw_part(RAW)
    fake = camera_with(files=raw_card, pages=False)
    result = pull_from(fake, verify="off")

    assert_whole(result, raw_card)
    assert result.received_bytes == 20_000 + 65_536


def test_f05_a_longer_part_of_unknown_size_is_begun_again(
    camera_with, pull_from, raw_card, raw_part, assert_whole
):
    """A range beyond the end is answered with a negative length, once."""
    raw_part(RAW + bytes(100_000))
    fake = camera_with(files=raw_card, pages=False)
    result = pull_from(fake)

    assert_whole(result, raw_card)
    first, second, *_ = fake.file_requests("GOPR0001.GPR")
    assert first.headers["range"] == f"bytes={len(RAW) + 100_000 - 65_536}-"
    assert "range" not in second.headers


@pytest.mark.parametrize("code", [409, 500, 503])
def test_f09_every_busy_answer_of_the_list_is_waited_for(code):
    """Cameras say 409 and 500 as well."""
    busy = status(code)
    if code == 500:
        message = b'{"message":"Camera is busy"}'
        busy = [
            busy[0].replace(b"Content-Length: 0", b"Content-Length: %d" % len(message)),
            message,
        ]
    script = [busy, busy, whole(json.dumps(LIST).encode())]
    with ScriptedServer(script) as server:
        address = parse_address(f"127.0.0.1:{server.port}")
        camera = Camera.find(address, dialect="open-gopro", patience=PATIENCE, wait_s=5)

    assert [file.name for file in camera.listing().files] == ["GOPR0001.JPG"]


def test_f18_a_pull_goes_on_without_the_answer(camera_with, find, tmp_path, assert_whole):
    """The camera's commands hang; its files do not."""
    camera = find(camera_with("F18", dialect="legacy"))
    camera.link.control_timeout_s = 0.2
    result = pull(camera, tmp_path / "dest")

    assert_whole(result)
    assert len(result.downloaded) == 12


def test_f19_a_camera_that_sleeps_costs_one_timeout(monkeypatch):
    """Its radio takes no connection: that is asked once, not for each path of each dialect."""
    tried = []
    connect = socket.socket.connect

    def counted(self, where):
        tried.append(where)
        return connect(self, where)

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # the queue is full: the next one gets no answer at all
            one.setblocking(False)
            one.connect_ex(address)
        monkeypatch.setattr(socket.socket, "connect", counted)
        with pytest.raises(CameraUnreachableError) as caught:
            Camera.find(parse_address(f"127.0.0.1:{address[1]}"), patience=PATIENCE)
        for one in waiting:
            one.close()

    assert "wifi" in caught.value.hint
    assert len(tried) == 1


def test_f22_a_body_without_any_end_stops_before_the_disk_is_full(
    camera_with, pull_from, raw_card, monkeypatch, tmp_path
):
    """Neither the list nor the answer tells a size: a reserve stays free."""
    reserve = 16 * 1024 * 1024
    monkeypatch.setattr("labkit.transfer.free_bytes", lambda _: reserve + 500_000)
    result = pull_from(camera_with("F22", "F40", files=raw_card, pages=False))

    assert [failure.name for failure in result.failed] == ["GOPR0001.GPR"]
    assert (tmp_path / "dest/2024-06-15/GOPR0001.GPR.part").stat().st_size == 500_000


def test_f25_a_proxy_larger_than_its_clip_comes(camera_with, pull_from, tmp_path):
    """No size is too odd: everything but the empty clip is here afterwards."""
    fake = camera_with("F25")
    result = pull_from(fake, plan=PlanOptions(Selection(kinds=frozenset(Kind))))

    proxy = next(one for one in result.downloaded if one.file.name == "GL010021.LRV")
    assert (tmp_path / "dest" / proxy.path).stat().st_size == 50_000
    assert not result.failed
    assert [one.file.name for one in result.postponed] == ["GX010020.MP4"]


@pytest.fixture
def read_only_disk(tmp_path):
    """A file system that cannot be written, for root neither."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_f26_a_read_only_destination_is_named(camera_with, run, read_only_disk):
    """Exit 4, with the next step, and no file is asked for."""
    fake = camera_with()
    code, _, err = run("pull", read_only_disk / "dest", "--host", str(fake.address))

    assert code == ExitCode.UNMET
    assert "cannot be written: Read-only file system" in err
    assert "hint: choose another destination" in err
    assert fake.file_requests() == []


def test_f31_threads_take_turns(camera_with, find, tmp_path, assert_whole):
    """Two workers of one run share the camera's one connection."""
    fake = camera_with("F31")
    assert_whole(pull(find(fake, jobs=1), tmp_path / "dest", PullOptions(jobs=2)))

    assert fake.max_concurrent == 1


def test_f33_a_second_redirect_is_not_followed():
    """A camera redirects to a folder's slash, no further."""
    script = [status(301, Location=f"/hop{n}") for n in range(4)]
    with ScriptedServer(script) as server, pytest.raises(NotACameraError, match="circles"):
        Camera.find(parse_address(f"127.0.0.1:{server.port}"), patience=PATIENCE)

    assert len(server.requests) == 2


def test_f35_the_list_wins_over_the_page():
    """A page that disagrees on a size, or shows more recordings, changes nothing of the list."""
    clip = ListedFile(FOLDER, "GX010001.MP4", f"/videos/DCIM/{FOLDER}/GX010001.MP4", size=1000)
    other = replace(clip, size=None, size_range=SizeRange(5000, 6000))
    hidden = replace(clip, name="GX010002.MP4", path=f"/videos/DCIM/{FOLDER}/GX010002.MP4")
    page = FolderPage(f"/videos/DCIM/{FOLDER}", (other, hidden))

    assert merge_pages(MediaListing((clip,)), [page]).files == (clip,)


def test_every_fault_of_the_table_has_its_test():
    """F01 to F40: a test whose name begins with the number states what is required."""
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_fault*.py")
    )
    numbers = {int(number) for number in re.findall(r"^def test_f(\d\d)_", tests, re.MULTILINE)}

    assert numbers == set(range(1, 41))
