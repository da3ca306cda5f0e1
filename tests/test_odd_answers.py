"""Answers that no sound server gives, over plain HTTP: one file fails at most, none is wrong."""

from __future__ import annotations

import random

import pytest

from labkit.http_get import NotHttpError
from labkit.http_get import get as request
from labkit.progress import SILENT
from labkit.transfer import Patience, TransferError, download, new_session, part_path
from support.scripted_server import ScriptedServer, Stall, cut, partial, whole

CONTENT = random.Random(2).randbytes(200_000)
QUICK = Patience(connect_timeout_s=2, stall_timeout_s=0.4, backoff_s=(0.0, 0.01, 0.01))
NINES = "9" * 5000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def target(tmp_path):
    """Where the download goes."""
    return tmp_path / "file.bin"


def get(server, target, **options):
    """Download as from a camera."""
    with new_session(direct=True) as session:
        return download(
            server.url(), target, session=session, patience=QUICK, follow_redirects=False, **options
        )


def chunk(data):
    """One chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@pytest.mark.parametrize("follow", [True, False], ids=["requests", "plain"])
def test_a_length_that_no_file_has_counts_as_none(target, follow):
    """5,000 digits, more than Python takes: the list tells the size."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {NINES}\r\n\r\n".encode()
    with ScriptedServer([[head, CONTENT]]) as server, new_session(direct=True) as session:
        download(
            server.url(),
            target,
            session=session,
            patience=QUICK,
            expected_size=len(CONTENT),
            follow_redirects=follow,
        )
    assert target.read_bytes() == CONTENT


def test_a_total_that_no_file_has_fails_the_file(target):
    """As any range that was not asked for."""
    head = f"HTTP/1.1 206 X\r\nContent-Range: bytes 70000-199999/{NINES}\r\n\r\n".encode()
    mad = [head, CONTENT[70_000:]]
    script = [cut(CONTENT, 70_000), mad, cut(CONTENT, 70_000), mad]
    with ScriptedServer(script) as server, pytest.raises(TransferError):
        get(server, target, expected_size=len(CONTENT))


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["listed", "unlisted"])
def test_a_chunked_body_arrives_whole(target, size):
    """Its last chunk tells its end."""
    body = [CHUNKED, chunk(CONTENT[:150_000]), chunk(CONTENT[150_000:]), LAST_CHUNK]
    with ScriptedServer([body]) as server:
        get(server, target, expected_size=size, verify=lambda _: None)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("at", [1_000, 199_000], ids=["first", "last"])
def test_alien_bytes_in_a_chunk_are_not_taken(target, at):
    """What follows a chunk is not what ends one: all that came is in doubt and comes anew."""
    chunks = chunk(CONTENT[:100_000]) + chunk(CONTENT[100_000:])
    wrong = [CHUNKED, chunks[:at], b"zzz", chunks[at:], LAST_CHUNK]
    with ScriptedServer([wrong, whole(CONTENT)]) as server:
        get(server, target, expected_size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None, None]


def test_no_byte_of_a_chunk_in_doubt_is_kept(target):
    """The next run would go on after them, and nothing compares what lies before its part's end."""
    wrong = [CHUNKED, chunk(CONTENT[:1000])[:-2], b"zzz\r\n"]
    with ScriptedServer([wrong, wrong]) as server, pytest.raises(TransferError):
        get(server, target, expected_size=len(CONTENT))
    assert not part_path(target).exists()


@pytest.mark.parametrize(
    "end", [b"", b"FFFFF\r\nabc", b"5"], ids=["no last chunk", "in a chunk", "in a size"]
)
def test_a_chunked_body_that_is_cut_is_not_whole(target, end):
    """Nothing but its last chunk ends it, whatever the caller would take for a whole file."""
    script = [[CHUNKED, chunk(CONTENT[:100_000]), end]] + [[]] * 10
    with ScriptedServer(script) as server, pytest.raises(TransferError):
        get(server, target, verify=lambda _: None)
    assert not target.exists()


def test_a_stall_between_two_chunks_is_a_stall(target):
    """And no fault of the disk."""
    stalls = [CHUNKED, chunk(CONTENT[:100_000]), Stall(0.7)]
    with ScriptedServer([stalls, partial(CONTENT, 100_000)]) as server:
        get(server, target, expected_size=len(CONTENT))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("encoding", ["", "Identity", "identity"])
def test_an_encoding_that_is_none_is_accepted(target, encoding):
    """Empty, or spelt otherwise."""
    with ScriptedServer([whole(CONTENT, Content_Encoding=encoding)]) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_answers_before_the_answer_are_passed_over(target):
    """`100 Continue`, `103 Early Hints`."""
    before = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]
    with ScriptedServer([[*before, *whole(CONTENT)]]) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_head_that_trickles_is_not_waited_for(target):
    """Each byte in time, and no end: the time between two pieces holds for all of a head."""
    slow = [part for letter in b"HTTP/1.1 20" for part in (bytes([letter]), Stall(0.1))]
    answer, body = whole(CONTENT)
    with ScriptedServer(
        [[*slow, answer.removeprefix(b"HTTP/1.1 20"), body], whole(CONTENT)]
    ) as server:
        get(server, target)
        assert len(server.requests) == 2
    assert target.read_bytes() == CONTENT


def test_a_body_may_take_longer_than_its_head(target):
    """Only a stall ends it."""
    pieces = [
        part
        for start in range(0, 200_000, 40_000)
        for part in (CONTENT[start : start + 40_000], Stall(0.15))
    ]
    with ScriptedServer([[whole(CONTENT)[0], *pieces]]) as server:
        get(server, target)
        assert len(server.requests) == 1
    assert target.read_bytes() == CONTENT


def test_garbage_is_asked_for_again_a_few_times_only(target):
    """Log lines before an answer pass at once or not at all; the file is named."""
    garbage = [b"\xff\xfe\x00garbage\r\n\r\n"]
    patience_left = [garbage] * 20
    with ScriptedServer(patience_left) as server, new_session(direct=True) as session:
        with pytest.raises(TransferError, match=r"^file\.bin: ") as caught:
            download(
                server.url(),
                target,
                session=session,
                patience=Patience(backoff_s=(0.0,) * 10),
                follow_redirects=False,
            )
        assert len(server.requests) == 4
    assert caught.value.code == "not-http"


def test_garbage_in_a_head_is_no_http():
    """The error says so."""
    with (
        ScriptedServer([[b"HTTP/1.1 200 OK\r\ngarbage\r\n\r\n"]]) as server,
        new_session(direct=True) as session,
        pytest.raises(NotHttpError),
        request(session, server.url(), start=0, timeouts_s=(1, 1), follow_redirects=False),
    ):
        pass


def test_a_part_longer_than_the_file_is_another_file(target):
    """Where no list tells the size: what the server does not have was not its own."""
    part_path(target).write_bytes(CONTENT + b"alien")
    start = len(CONTENT) + 5 - 65_536
    with ScriptedServer([partial(CONTENT, start), whole(CONTENT)]) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_could_not_be_compared_is_not_whole(target):
    """The answer breaks off before the end of what is here was seen."""
    part_path(target).write_bytes(CONTENT[:-10] + b"other file")
    start = len(CONTENT) - 65_536
    script = [partial(CONTENT, start, start + 1000), partial(CONTENT, start), whole(CONTENT)]
    with ScriptedServer(script) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_pause_of_seconds_is_announced(target, monkeypatch):
    """With the file and the reason."""
    told = []
    listener = type("Listener", (type(SILENT),), {"message": lambda _, text: told.append(text)})()
    monkeypatch.setattr("labkit.transfer.time.sleep", lambda _: None)
    script = [[], [], [], whole(CONTENT)]
    with ScriptedServer(script) as server, new_session(direct=True) as session:
        download(
            server.url(),
            target,
            session=session,
            patience=Patience(backoff_s=(0.0, 1.0, 2.0)),
            follow_redirects=False,
            progress=listener,
        )
    assert told == ["file.bin: the connection was closed without an answer; again in 2 seconds"]
