"""Downloads over a network that cuts, stalls and lies."""

from __future__ import annotations

import os
import random
import shutil
import socket

import pytest

from labkit import part_file
from labkit.errors import ExitCode, RefusedError
from labkit.transfer import (
    BusyError,
    DiskFullError,
    GoneError,
    HostUnreachableError,
    Patience,
    TargetError,
    TransferError,
    VerificationError,
    download,
    fetch,
    new_session,
    part_path,
)
from support.scripted_server import ScriptedServer, Stall, cut, partial, status, whole

CONTENT = random.Random(1).randbytes(200_000)
QUICK = Patience(
    connect_timeout_s=2, stall_timeout_s=0.4, backoff_s=(0.0, 0.01, 0.01), busy_wait_s=0.05
)
DEFAULTS: dict[str, bool] = {}


@pytest.fixture(params=[True, False], ids=["requests", "http.client"], autouse=True)
def by_requests(request, monkeypatch):
    """Every promise holds for both ways of making a request."""
    monkeypatch.setitem(DEFAULTS, "follow_redirects", request.param)


@pytest.fixture
def target(tmp_path):
    """Where the download goes."""
    return tmp_path / "file.bin"


def get(server, target, **options):
    """Download from the server, quickly, and without the environment's proxies."""
    options = DEFAULTS | options
    with new_session(direct=True) as session:
        return download(server.url(), target, session=session, patience=QUICK, **options)


def assert_whole(target):
    """The target has the content, and nothing else is left."""
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_arrives_whole(target):
    """One request brings the file to its final name; no part remains."""
    with ScriptedServer([whole(CONTENT)]) as server:
        result = get(server, target)
    assert_whole(target)
    assert (result.size_bytes, result.received_bytes, result.request_count) == (200_000,) * 2 + (1,)


def test_requests_ask_for_uncompressed_bytes_on_a_connection_of_their_own(target):
    """Compression would hide the length; some cameras fail on a second request."""
    with ScriptedServer([whole(CONTENT)]) as server:
        get(server, target)
    head = server.requests[0].lower()
    assert "accept-encoding: identity" in head
    assert "connection: close" in head


def test_a_cut_body_is_resumed_where_it_ended(target):
    """No byte is fetched twice within a run."""
    script = [cut(CONTENT, 70_000), partial(CONTENT, 70_000, 150_000), partial(CONTENT, 150_000)]
    with ScriptedServer(script) as server:
        result = get(server, target, expected_size=len(CONTENT))
    assert_whole(target)
    assert server.ranges() == [None, "bytes=70000-", "bytes=150000-"]
    assert result.received_bytes == len(CONTENT)


def test_a_stalled_body_is_resumed(target):
    """Silence in the middle of a body ends the request, not the download."""
    script = [[*cut(CONTENT, 70_000), Stall(0.7)], partial(CONTENT, 70_000)]
    with ScriptedServer(script) as server:
        get(server, target)
    assert_whole(target)


def test_a_part_of_an_earlier_run_is_continued(target):
    """The next run compares the last 64 KiB with the server's and goes on from there."""
    part_path(target).write_bytes(CONTENT[:100_000])
    start = 100_000 - 65_536
    with ScriptedServer([partial(CONTENT, start)]) as server:
        get(server, target, expected_size=len(CONTENT))
    assert_whole(target)
    assert server.ranges() == [f"bytes={start}-"]


def test_a_part_of_another_file_is_not_continued(target):
    """What was there differs from what the server has: everything is fetched anew."""
    part_path(target).write_bytes(bytes(100_000))
    script = [partial(CONTENT, 100_000 - 65_536), whole(CONTENT)]
    with ScriptedServer(script) as server:
        get(server, target, expected_size=len(CONTENT))
    assert_whole(target)
    assert server.ranges()[1] is None


def test_a_part_of_the_right_size_is_compared_to_its_end(target):
    """Where no list tells the size: the same length alone makes it no part of this file."""
    part = part_path(target)
    part.write_bytes(CONTENT[:-10] + b"other file")
    with ScriptedServer([partial(CONTENT, len(CONTENT) - 65_536), whole(CONTENT)]) as server:
        get(server, target)
    assert_whole(target)


def test_a_whole_part_needs_no_request(target):
    """Killed between the last byte and the rename: only the rename is missing."""
    part_path(target).write_bytes(CONTENT)
    with ScriptedServer([]) as server:
        result = get(server, target, expected_size=len(CONTENT))
    assert_whole(target)
    assert (server.requests, result.request_count) == ([], 0)


def test_a_whole_part_that_is_wrong_is_fetched_anew(target):
    """A check that failed on an earlier run's part costs a new download, not an endless error."""
    part_path(target).write_bytes(bytes(len(CONTENT)))
    with ScriptedServer([whole(CONTENT)]) as server:
        get(
            server,
            target,
            expected_size=len(CONTENT),
            verify=lambda path: None if path.read_bytes() == CONTENT else "wrong",
        )
    assert_whole(target)


def test_a_part_longer_than_the_file_is_discarded_before_asking(target):
    """Asking beyond the end of a file gets a negative length from some servers."""
    part_path(target).write_bytes(bytes(len(CONTENT) + 1))
    with ScriptedServer([whole(CONTENT)]) as server:
        get(server, target, expected_size=len(CONTENT))
    assert_whole(target)
    assert server.ranges() == [None]


def test_a_server_that_ignores_the_range_is_followed(target):
    """The whole file in answer to a range replaces the part; it is never appended."""
    script = [cut(CONTENT, 70_000), whole(CONTENT)]
    with ScriptedServer(script) as server:
        get(server, target)
    assert_whole(target)


@pytest.mark.parametrize(
    "lie",
    [
        partial(CONTENT, 60_000),
        partial(CONTENT + b"x", 70_000),
        partial(CONTENT, 70_000, ETag='"b"'),
        [b"HTTP/1.1 206 X\r\nContent-Length: -7437925\r\n\r\n"],
    ],
    ids=["other offset", "other total", "other version", "negative length"],
)
def test_an_answer_that_does_not_fit_restarts_once(target, lie):
    """The part is dropped, the file comes from its beginning, and is right."""
    script = [cut(CONTENT, 70_000, ETag='"a"'), lie, whole(CONTENT, ETag='"b"')]
    with ScriptedServer(script) as server:
        get(server, target)
    assert_whole(target)


def test_a_file_that_keeps_changing_fails(target):
    """A second change ends the transfer instead of looping."""
    lie = partial(CONTENT, 60_000)
    script = [cut(CONTENT, 70_000), lie, cut(CONTENT, 70_000), lie]
    with ScriptedServer(script) as server, pytest.raises(TransferError) as caught:
        get(server, target)
    assert caught.value.code == "changed-on-server"
    assert not target.exists()


def test_a_file_that_stays_short_is_never_renamed(target):
    """The list says more bytes than ever come: failed, the part kept."""
    short = CONTENT[:150_000]
    script = [whole(short), *[partial(short, 150_000)] * 2]
    with ScriptedServer(script) as server, pytest.raises(TransferError) as caught:
        get(server, target, expected_size=len(CONTENT))
    assert caught.value.code == "short"
    assert len(server.requests) == 3  # the end is told twice: no pause would change it
    assert caught.value.exit_code is ExitCode.PARTIAL
    assert not target.exists()
    assert part_path(target).read_bytes() == short


def test_a_server_that_starts_anew_and_never_ends_is_given_up(target):
    """It ignores ranges and cuts each body at one place: no attempt gets further."""
    with ScriptedServer([cut(CONTENT, 70_000)] * 20) as server, pytest.raises(TransferError):
        get(server, target, expected_size=len(CONTENT))
    assert len(server.requests) == 1 + 1 + len(QUICK.backoff_s)


def test_more_bytes_than_expected_are_not_written(target):
    """The transfer stops at the size that was announced."""
    body = [whole(CONTENT)[0], CONTENT, b"tail" * 1000]
    with ScriptedServer([body]) as server:
        get(server, target)
    assert_whole(target)


def test_a_larger_file_than_expected_is_refused(target):
    """A clip that is still being recorded is not taken at some size in between."""
    with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(TransferError) as caught:
        get(server, target, expected_size=1000)
    assert caught.value.code == "size-differs"


def test_a_compressed_body_is_refused(target):
    """Asked for plain bytes; anything else has no length to check."""
    script = [whole(CONTENT, Content_Encoding="gzip")]
    with ScriptedServer(script) as server, pytest.raises(TransferError, match="compresses"):
        get(server, target)


def test_a_body_without_any_length_needs_proof(target):
    """End of connection alone proves nothing; with a structure check it is accepted."""
    bare = [b"HTTP/1.1 200 OK\r\n\r\n", CONTENT]
    with ScriptedServer([bare]) as server, pytest.raises(TransferError, match="no length"):
        get(server, target)
    with ScriptedServer([bare]) as server:
        get(server, target, verify=lambda _: None)
    assert_whole(target)


def test_a_listed_size_is_proof_enough_for_a_body_without_length(target):
    """The size from a list counts as much as one from the response."""
    with ScriptedServer([[b"HTTP/1.1 200 OK\r\n\r\n", CONTENT]]) as server:
        get(server, target, expected_size=len(CONTENT))
    assert_whole(target)


@pytest.mark.parametrize("code", [409, 429, 500, 502, 503, 504])
def test_a_busy_server_is_waited_for(target, code):
    """503 and its like are no failure."""
    with ScriptedServer([status(code), whole(CONTENT)]) as server:
        get(server, target)
    assert_whole(target)


def test_a_server_that_stays_busy_ends_the_wait(target):
    """The wait is bounded."""
    script = [status(503)] * 20
    with ScriptedServer(script) as server, pytest.raises(BusyError):
        get(server, target)


def test_a_missing_file_is_gone(target):
    """404 is an answer, not something to retry."""
    with ScriptedServer([status(404)]) as server, pytest.raises(GoneError):
        get(server, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_is_not_retried(target, code):
    """Other client errors end the transfer with the status."""
    with ScriptedServer([status(code)]) as server, pytest.raises(RefusedError, match=str(code)):
        get(server, target)


def test_a_redirect_is_refused_where_the_caller_says_so(target):
    """A captive portal sends elsewhere; a camera never does."""
    script = [status(302, Location="http://127.0.0.1:9/portal")]
    with ScriptedServer(script) as server, pytest.raises(RefusedError) as caught:
        get(server, target, follow_redirects=False)
    assert caught.value.code == "redirected"


def test_a_host_that_does_not_answer_is_unreachable(target):
    """Nobody listens: exit 3 after the retries."""
    with ScriptedServer([]) as server:
        pass
    with pytest.raises(HostUnreachableError) as caught:
        get(server, target)
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_garbage_before_the_status_line_is_named(target):
    """A log line in front of the answer is told from a dead host."""
    script = [[b"gpHttpServer: [INFO ] conn 0\r\nHTTP/1.1 200 OK\r\n\r\n"]] * 4
    with ScriptedServer(script) as server, pytest.raises(TransferError) as caught:
        get(server, target)
    assert caught.value.code == "not-http"


def test_a_connection_reset_is_retried_at_once(target):
    """A server that closes without an answer gets a second request."""
    with ScriptedServer([[], whole(CONTENT)]) as server:
        get(server, target)
    assert_whole(target)


def test_a_failed_verification_keeps_the_part(target):
    """What came can be looked at, under a name that nobody takes for the file."""
    with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(VerificationError, match="bad"):
        get(server, target, verify=lambda _: "bad")
    assert not target.exists()
    assert part_path(target).read_bytes() == CONTENT


def test_too_little_room_is_seen_before_the_first_byte(target, monkeypatch):
    """The error says how much is missing; nothing is written."""
    usage = shutil.disk_usage(target.parent)
    monkeypatch.setattr(part_file.shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(DiskFullError, match="150000"):
        get(server, target)
    assert not part_path(target).exists()


def test_a_disk_that_fills_up_keeps_the_part(tmp_path):
    """No room left in the middle of a file: exit 5; the part stays for the next run."""
    full = tmp_path / "file.bin"
    part_path(full).symlink_to("/dev/full")
    with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(DiskFullError) as caught:
        get(server, full)
    assert caught.value.exit_code is ExitCode.PARTIAL


@pytest.mark.skipif(os.name != "posix", reason="uses a limit of POSIX systems")
def test_a_file_system_that_ends_at_4_gib_is_named(target):
    """EFBIG, which FAT32 gives, is reported as what it is."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(TargetError) as caught:
            get(server, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "file-too-large"
    assert part_path(target).read_bytes() == CONTENT[:50_000]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """A target that cannot be written is said to be that."""
    with ScriptedServer([whole(CONTENT)]) as server, pytest.raises(TargetError):
        get(server, tmp_path / "missing" / "file.bin")


def test_a_port_where_nothing_listens_is_not_waited_for_long(tmp_path, monkeypatch):
    """A refused connection ends sooner than a silent one, and the error names the file."""
    pauses = []
    monkeypatch.setattr("labkit.transfer.time.sleep", pauses.append)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(HostUnreachableError, match=r"CLIP\.MP4: 127"):
        fetch(f"http://127.0.0.1:{port}/x", tmp_path / "x.part", name="CLIP.MP4", **DEFAULTS)

    assert sum(pauses) <= 7
