"""What a pull does about each fault of the table, F01 to F40, by number."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ExitCode
from labkit.gopro import PlanOptions, PullOptions, Selection, pull
from labkit.gopro.destination import locked
from labkit.gopro.errors import (
    CameraBusyError,
    CameraUnreachableError,
    DestinationLockedError,
    EmptyListError,
    LayoutError,
    NotACameraError,
)
from labkit.gopro.fake import Card, CardFile, FakeCamera
from labkit.gopro.fake.lists import HOSTILE_NAMES
from labkit.gopro.fake.media import make_jpeg, make_mp4
from labkit.gopro.journal import JOURNAL_NAME, EntryState, read_journal
from labkit.gopro.names import Kind
from labkit.transfer import TransferError

ALL = 12  # files of the made-up card that a pull takes by default
BYTES = 4_460_000


def names(planned):
    """The names of planned files."""
    return [one.file.name for one in planned]


def one_file(content, name="GX010001.MP4", folder="100GOPRO"):
    """A card with one file."""
    return Card([CardFile(folder, name, content)])


@pytest.fixture
def clip():
    """The bytes of a clip."""
    return make_mp4(200_000, seed=1)


def test_f01_a_cut_body_is_resumed_in_the_same_run(camera_with, pull_from, assert_whole):
    """Every first body ends at 60 %: the rest is asked for from there, nothing twice."""
    fake = camera_with("F01")
    result = pull_from(fake)

    assert_whole(result)
    assert len(result.downloaded) == ALL
    assert result.received_bytes == BYTES


def test_f02_a_clean_end_short_of_the_listed_size_is_not_the_end(
    camera_with, pull_from, assert_whole
):
    """The list's size counts: what is missing is fetched by a range."""
    result = pull_from(camera_with("F02"))

    assert_whole(result)
    assert len(result.downloaded) == ALL


def test_f02_a_file_that_stays_short_is_never_renamed(camera_with, pull_from, clip, tmp_path):
    """It fails, its part is kept, and nothing has the final name; the camera is asked twice."""
    fake = camera_with("F02-short", files=one_file(clip))
    result = pull_from(fake)

    assert len(fake.file_requests()) == 3
    assert [failure.error.code for failure in result.failed] == ["short"]
    assert [path.name for path in (tmp_path / "dest").rglob("*GX*")] == ["GX010001.MP4.part"]


def test_f03_a_stalled_body_is_resumed(camera_with, pull_from, clip, assert_whole):
    """After the stall time-out the connection is opened anew."""
    card = one_file(clip)
    fake = camera_with("F03", files=card)
    result = pull_from(fake)

    assert_whole(result, card)
    assert fake.file_requests("GX010001.MP4")[1].headers["range"] == "bytes=120000-"


def test_f04_a_complete_part_is_not_asked_for(camera_with, pull_from, clip, assert_whole, tmp_path):
    """Killed before the rename: the next run verifies and renames without a request."""
    card = one_file(clip)
    fake = camera_with(files=card)
    part = tmp_path / "dest/2024-06-15/GX010001.MP4.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(clip)
    result = pull_from(fake)

    assert_whole(result, card)
    assert fake.file_requests("GX010001.MP4") == []


def test_f05_a_part_longer_than_the_file_is_discarded(
    camera_with, pull_from, clip, assert_whole, tmp_path
):
    """A range beyond the end would be answered with a negative length: it is never asked for."""
    card = one_file(clip)
    fake = camera_with(files=card)
    part = tmp_path / "dest/2024-06-15/GX010001.MP4.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(clip + b"x")
    assert_whole(pull_from(fake), card)

    assert "range" not in fake.file_requests("GX010001.MP4")[0].headers


def test_f06_an_ignored_range_replaces_the_part(camera_with, pull_from, assert_whole):
    """200 in answer to a range is the whole file: written from 0, never appended."""
    assert_whole(pull_from(camera_with("F06")))


@pytest.mark.parametrize("fault", ["F07", "F07-etag"])
def test_f07_a_changed_file_is_begun_again_once(camera_with, pull_from, clip, fault, tmp_path):
    """Another offset or another ETag: no bytes of two versions are ever mixed."""
    card = one_file(clip)
    fake = camera_with(fault, files=card)
    result = pull_from(fake)

    content = (tmp_path / "dest" / result.downloaded[0].path).read_bytes()
    turned = clip[:50_000] + clip[50_000:100_000][::-1] + clip[100_000:]
    assert content == (clip if fault == "F07" else turned)
    assert [request.headers.get("range") for request in fake.file_requests()] == [
        None,
        "bytes=120000-",
        None,
    ]


def test_f08_bounded_ranges_end_before_the_end(camera_with, pull_from, clip):
    """Cameras promise a byte too many for a range that ends at the size: none is asked for."""
    fake = camera_with(files=one_file(clip))
    pull_from(fake, verify="deep")
    ends = [
        int(request.headers["range"].rpartition("-")[2])
        for request in fake.file_requests()
        if "range" in request.headers
    ]

    assert ends
    assert max(ends) == len(clip) - 1


def test_f09_a_busy_camera_is_waited_for(camera_with, pull_from, assert_whole):
    """503 for the list and for files is no failure while the wait lasts."""
    result = pull_from(camera_with("F09"), find_options={"wait_s": 5})

    assert_whole(result)
    assert len(result.downloaded) == ALL


def test_f09_a_camera_that_records_on_is_named(camera_with, find):
    """The wait is bounded, and the error says what to do."""
    with pytest.raises(CameraBusyError) as caught:
        find(camera_with("F09-always"), wait_s=0.1)

    assert caught.value.exit_code is ExitCode.PARTIAL
    assert "stop the recording" in caught.value.hint


def test_f10_a_listed_file_that_is_gone_is_no_failure(camera_with, pull_from, assert_whole):
    """404 for a photo and for a frame of a group: noted, the rest comes."""
    result = pull_from(camera_with("F10"))

    assert_whole(result)
    assert names(result.gone) == ["GOPR0013.JPG", "G0010015.JPG"]
    assert result.is_complete


def test_f10_a_frame_that_is_gone_is_not_asked_for_again(camera_with, pull_from):
    """The journal remembers it: the second run stays cheap."""
    fake = camera_with("F10")
    pull_from(fake)
    before = len(fake.file_requests("G0010015.JPG"))
    pull_from(fake)

    assert len(fake.file_requests("G0010015.JPG")) == before


@pytest.mark.parametrize("fault", ["F11", "F11-growing"])
def test_f11_a_clip_that_is_still_written_is_postponed(
    camera_with, pull_from, fault, tmp_path, card
):
    """Listed with 0 bytes or fewer than it has: never recorded as done, its companions wait."""
    options = PlanOptions(selection=Selection(kinds=frozenset({Kind.VIDEO, Kind.PROXY})))
    result = pull_from(camera_with(fault), plan=options)

    assert names(result.postponed) == ["GX010010.MP4", "GL010010.LRV"]
    assert {one.file.folder for one in result.postponed} == {"101GOPRO"}
    assert not result.is_complete
    assert all(not (tmp_path / "dest" / one.path).exists() for one in result.postponed)


def test_f11_the_next_pull_takes_it(camera_with, pull_from, assert_whole):
    """Once the camera has finished, the clip comes like any other."""
    fake = camera_with("F11")
    pull_from(fake)
    fake.faults = frozenset()
    result = pull_from(fake)

    assert_whole(result)
    assert names(result.downloaded) == ["GX010010.MP4"]


def test_f12_sizes_come_from_the_list_alone(camera_with, pull_from):
    """`media/info` gives sizes modulo 2**32: a pull never asks it."""
    fake = camera_with()
    pull_from(fake)

    assert not [request for request in fake.requests if "media/info" in request.path]


def test_f13_head_is_not_trusted(camera_with, pull_from, assert_whole):
    """HEAD lies about frames on some cameras: it is never asked."""
    fake = camera_with("F13")
    assert_whole(pull_from(fake))

    assert {request.method for request in fake.requests} == {"GET"}


@pytest.mark.parametrize("fault", ["F14", "F14-404"])
def test_f14_an_empty_list_with_a_full_card_is_an_error(camera_with, pull_from, fault, tmp_path):
    """Never `nothing new`: the error suggests a restart; journal and files stay as they are."""
    fake = camera_with()
    pull_from(fake)
    before = read_journal(tmp_path / "dest").entries
    fake.faults = frozenset({fault})
    with pytest.raises(EmptyListError) as caught:
        pull_from(fake)

    assert "restarted" in caught.value.hint
    assert read_journal(tmp_path / "dest").entries == before


def test_f15_a_dropped_connection_is_tried_again(camera_with, pull_from, assert_whole):
    """Each request has a connection of its own; one that breaks at once is repeated silently."""
    fake = camera_with("F15")
    assert_whole(pull_from(fake))

    assert {request.headers["connection"] for request in fake.requests} == {"close"}


def test_f16_log_lines_before_the_status_line_are_named(camera_with, find):
    """The error tells of the firmware; there is no endless retry."""
    fake = camera_with("F16")
    with pytest.raises(NotACameraError, match="no HTTP response"):
        find(fake)

    assert len(fake.requests) < 15


def test_f16_log_lines_in_a_body_are_caught(camera_with, pull_from, assert_whole):
    """Junk in the middle breaks the structure or the end: the file is fetched once more."""
    result = pull_from(camera_with("F16-body"))

    assert_whole(result)
    assert len(result.downloaded) == ALL


def test_f17_a_corrupt_status_line_of_commands_harms_nothing(
    camera_with, pull_from, assert_whole, tmp_path
):
    """Lists and files are on the other port: the pull goes on without knowing the camera."""
    fake = camera_with("F17", dialect="legacy")
    result = pull_from(fake)

    assert_whole(result)
    assert {entry.camera for entry in read_journal(tmp_path / "dest").entries} == {"unknown"}


def test_f18_a_command_that_hangs_costs_a_short_wait(camera_with, find):
    """The time-out of a command is its own, and what it would tell is unknown."""
    fake = camera_with("F18", dialect="legacy")
    camera = find(fake)
    camera.link.control_timeout_s = 0.2

    assert camera.info.serial is None
    assert camera.state() is None


@pytest.mark.parametrize("fault", ["F19", "F19-redirect"])
def test_f19_a_login_page_is_no_camera(camera_with, find, fault):
    """Exit 3, and the error says what was seen."""
    with pytest.raises(NotACameraError) as caught:
        find(camera_with(fault))

    assert caught.value.exit_code is ExitCode.UNREACHABLE
    seen = "Welcome to Hotel Wifi" if fault == "F19" else "127.0.0.2"
    assert seen in caught.value.message


def test_f19_nobody_answers(camera_with, find):
    """Not reachable: exit 3, with the way into the camera's network."""
    fake = camera_with()
    fake.__exit__(None, None, None)
    with pytest.raises(CameraUnreachableError) as caught:
        find(fake)

    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "wifi" in caught.value.hint


def test_f20_a_camera_that_dies_ends_the_run(camera_with, pull_from):
    """At 90 % the battery is out: what came stays, the rest is named, no file is waited for."""
    result = pull_from(camera_with("F20"))

    assert len(result.downloaded) + len(result.failed) + len(result.not_tried) == ALL
    assert result.failed
    assert not result.is_complete


def test_f20_turbo_is_switched_off_in_the_end(camera_with, pull_from):
    """On for the files, off again after them."""
    fake = camera_with()
    pull_from(fake, turbo=True)
    switches = [r.query for r in fake.requests if "turbo" in r.path]

    assert switches == ["p=1", "p=0"]


def test_f20_turbo_left_on_is_switched_off_by_the_next_run(camera_with, pull_from, card):
    """A camera that died with turbo on: the journal remembers, the next pull begins with it."""
    fake = camera_with("F20")
    pull_from(fake, turbo=True)
    port = fake.address.port
    with FakeCamera(card, port=port) as again:
        again.turbo = True
        pull_from(again)

        assert not again.turbo


def test_f21_hostile_names_are_refused_and_the_rest_comes(camera_with, pull_from, tmp_path):
    """Each is shown harmlessly; nothing is written outside the destination."""
    result = pull_from(camera_with("F21"))

    assert len(result.downloaded) == ALL
    assert len(result.plan.refused) == len(HOSTILE_NAMES) + 2
    assert all(line.isascii() and line.isprintable() for line in result.plan.refused)
    assert not result.is_complete
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dest"]


def test_f21_names_that_differ_in_case_only_get_two_paths(camera_with, pull_from, clip):
    """Also where the file system would take them for one."""
    other = make_mp4(150_000, seed=2)
    card = Card(
        [CardFile("100GOPRO", "GX010001.MP4", clip), CardFile("100GOPRO", "gx010001.mp4", other)]
    )
    result = pull_from(camera_with(files=card))

    assert len({one.path.casefold() for one in result.downloaded}) == 2


def test_f21_a_link_in_the_destination_leads_nowhere(camera_with, pull_from, tmp_path):
    """A symbolic link inside must not carry files out."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/2024-06-15").symlink_to(outside)
    result = pull_from(camera_with())

    assert {failure.error.code for failure in result.failed} == {"leads-out"}
    assert list(outside.iterdir()) == []


def test_f22_an_endless_body_is_cut_at_the_size(camera_with, pull_from, assert_whole):
    """No byte after the end is written."""
    assert_whole(pull_from(camera_with("F22")))


def test_f23_one_name_in_two_folders_is_two_files(camera_with, pull_from, clip):
    """Same day, same name, two folders: both are kept."""
    other = make_mp4(150_000, seed=2)
    card = Card(
        [
            CardFile("100GOPRO", "GX010001.MP4", clip),
            CardFile("101GOPRO", "GX010001.MP4", other),
        ]
    )
    result = pull_from(camera_with(files=card))

    assert [one.path for one in result.downloaded] == [
        "2024-06-15/GX010001.MP4",
        "2024-06-15/GX010001-2.MP4",
    ]


def test_f23_two_cameras_share_a_destination(camera_with, pull_from, card, assert_whole):
    """The serial number is part of a file's identity: nothing is overwritten or skipped."""
    first = pull_from(camera_with(serial="C3500000000111"))
    second = pull_from(camera_with(serial="C3500000000222"))

    assert len(first.downloaded) == len(second.downloaded) == ALL
    assert not {one.path for one in first.downloaded} & {one.path for one in second.downloaded}


def test_f24_odd_types_and_unknown_keys_are_accepted(camera_with, pull_from, card, assert_whole):
    """Numbers as numbers, no times, novelties, a type never seen: everything comes."""
    card.files.append(CardFile("100GOPRO", "GX010099.NEW", b"what is this? " * 1000))
    result = pull_from(camera_with("F24", files=card))

    assert_whole(result)
    assert "GX010099.NEW" in names(result.downloaded)
    assert "undated/GX010010.MP4" in [one.path for one in result.downloaded]


def test_f25_stubs_come_as_they_are(camera_with, pull_from, tmp_path):
    """A clip of a few bytes is broken on the camera: it is taken, and said to be that."""
    stub = make_mp4(20_000)[:5_000]
    card = Card(
        [
            CardFile("100GOPRO", "GX010001.MP4", stub),
            CardFile("100GOPRO", "GL010001.LRV", make_mp4(50_000)),
        ]
    )
    result = pull_from(camera_with(files=card))

    assert (tmp_path / "dest" / result.downloaded[0].path).read_bytes() == stub
    assert any("the camera's own file is like that" in line for line in result.warnings)
    assert not pull_from(camera_with(files=card)).downloaded


def test_f26_a_planned_file_that_is_there_was_finished(camera_with, pull_from, tmp_path):
    """Killed between rename and journal: the next run writes it down, without a request."""
    fake = camera_with()
    pull_from(fake)
    database = sqlite3.connect(tmp_path / "dest" / JOURNAL_NAME)
    with database:
        database.execute("UPDATE files SET state = 'planned', size_bytes = NULL")
    database.close()
    before = len(fake.file_requests())
    result = pull_from(fake)

    assert len(fake.file_requests()) == before
    assert not result.downloaded
    states = {entry.state for entry in read_journal(tmp_path / "dest").entries}
    assert states == {EntryState.DONE}


def test_f26_a_fat_file_system_is_named_before_the_download(
    camera_with, pull_from, monkeypatch, tmp_path
):
    """Its limit of 4 GiB is known beforehand; other files come."""
    big = tmp_path / "big.MP4"
    with big.open("wb") as file:
        file.truncate(2**32)
    card = Card([CardFile("100GOPRO", "GX010001.MP4", big)])
    card.files.append(CardFile("100GOPRO", "GOPR0002.JPG", make_jpeg(50_000)))
    monkeypatch.setattr("labkit.gopro.run.file_limit", lambda _: 2**32 - 1)
    fake = camera_with(files=card)
    result = pull_from(fake)

    assert [failure.error.code for failure in result.failed] == ["file-too-large"]
    assert names(result.downloaded) == ["GOPR0002.JPG"]
    assert fake.file_requests("GX010001.MP4") == []


def test_f27_a_lost_clock_is_said_once_and_shifted(camera_with, pull_from):
    """January 2016: one warning a run, order by number, `--shift` corrects it."""
    fake = camera_with("F27")
    result = pull_from(fake, plan=PlanOptions(selection=Selection(folders=("100GOPRO",))))
    about = [line for line in result.warnings if "2016" in line]

    assert len(about) == 1
    assert "--shift" in about[0]
    assert names(result.downloaded)[:3] == ["GX010010.MP4", "GX020010.MP4", "GX010011.MP4"]


def test_f28_nothing_is_ever_deleted_on_the_camera(camera_with, pull_from):
    """No request of a pull, a list or a verification deletes."""
    fake = camera_with()
    pull_from(fake)
    pull_from(fake)

    assert not [request for request in fake.requests if "delete" in request.target]


def test_f29_compressed_bodies_are_refused(camera_with, pull_from):
    """Asked for plain bytes; an answer without a length that fits is no file."""
    fake = camera_with("F29")
    result = pull_from(fake)

    assert not result.downloaded
    assert all("compresses" in failure.error.message for failure in result.failed)
    assert {request.headers["accept-encoding"] for request in fake.requests} == {"identity"}


def test_f30_nothing_slow_stands_between_request_and_reading(
    camera_with, pull_from, clip, monkeypatch, tmp_path
):
    """The part of an earlier run is read before the camera is asked, never while it sends."""
    fake = camera_with(files=one_file(clip))
    part = tmp_path / "dest/2024-06-15/GX010001.MP4.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(clip[:150_000])
    seen = []
    opened = Path.open

    def spy(path, *arguments, **settings):
        if path == part and "rb" in arguments:
            seen.append(len(fake.file_requests()))
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(Path, "open", spy)
    pull_from(fake)

    assert seen[0] == 0


@pytest.mark.parametrize("backend", ["labkit", "wget"])
def test_f31_one_request_at_a_time(camera_with, pull_from, assert_whole, backend, need_tool):
    """A second request beside a running body hangs some cameras."""
    if backend == "wget":
        need_tool("wget")
    fake = camera_with("F31")
    assert_whole(pull_from(fake, backend=backend))

    assert fake.max_concurrent == 1


def test_f32_the_slash_in_a_query_stays_a_slash(camera_with, find):
    """`%2F` gets 400 from cameras."""
    fake = camera_with()
    camera = find(fake)

    assert camera.duration_s(camera.listing().files[0]) == 1
    assert fake.requests[-1].query == "path=100GOPRO/GX010010.MP4"


def test_f33_a_redirect_on_the_camera_is_followed_once(camera_with, pull_from, assert_whole):
    """Same host and port: followed; folders are asked for with their slash."""
    fake = camera_with("F33")
    assert_whole(pull_from(fake))

    assert fake.requests[1].query == "again"


def test_f34_a_list_bomb_is_defused(camera_with, pull_from):
    """Millions of members: the entry is taken alone, with a warning; the rest comes."""
    result = pull_from(camera_with("F34"))

    assert len(result.plan.files) < 50
    assert any("makes no sense" in line or "make no sense" in line for line in result.warnings)
    assert len(result.downloaded) == ALL


def test_f35_entries_listed_twice_are_one_file(camera_with, pull_from, assert_whole):
    """The first entry counts; another size in the second is worth a warning."""
    result = pull_from(camera_with("F35"))

    assert_whole(result)
    assert len(result.downloaded) == ALL
    assert any("listed twice" in line for line in result.warnings)


def test_f36_a_wrong_group_sum_is_a_warning(camera_with, pull_from):
    """The sum of the frames is compared with the list, and with a fresh one."""
    fake = camera_with("F36")
    result = pull_from(fake)

    assert any("400000 bytes together" in line for line in result.warnings)
    assert len([r for r in fake.requests if r.path == "/gopro/media/list"]) == 2


def test_f36_a_fresh_list_that_fits_explains_it(camera_with, pull_from):
    """A member was deleted meanwhile: no warning."""
    assert pull_from(camera_with("F36-once")).warnings == ()


def test_f37_missing_metadata_harms_nothing(camera_with, find, pull_from, assert_whole):
    """The length is unknown; the file comes."""
    fake = camera_with("F37")
    camera = find(fake)

    assert camera.duration_s(camera.listing().files[0]) is None
    assert_whole(pull_from(fake))


def test_f38_a_second_pull_into_the_same_folder_says_so(camera_with, pull_from, tmp_path):
    """Exit 6, naming the process."""
    with locked(tmp_path / "dest"), pytest.raises(DestinationLockedError) as caught:
        pull_from(camera_with())

    assert caught.value.exit_code is ExitCode.REFUSED
    assert str(os.getpid()) in caught.value.message


@pytest.mark.parametrize("markup", ["civetweb", "cherokee"])
def test_f39_hostile_links_are_refused(camera_with, pull_from, markup, tmp_path, assert_whole):
    """To another host, to a parent, with an encoded way out: never followed."""
    fake = camera_with("F39", dialect="html", markup=markup)
    result = pull_from(fake)

    assert_whole(result)
    assert len(result.plan.refused) == 4 * 2  # two folders; the link with a query is navigation
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dest"]


def test_f40_a_body_without_length_needs_the_listed_size(camera_with, pull_from, assert_whole):
    """Accepted to its end because the list or the structure proves it."""
    assert_whole(pull_from(camera_with("F40")))


def test_another_camera_in_the_middle_stops_the_run(camera_with, find, tmp_path, clip):
    """After a break another serial answers: nothing of it is taken for the first camera's."""
    card = Card([CardFile("100GOPRO", f"GX01000{n}.MP4", clip) for n in range(3)])
    fake = camera_with("F15", files=card)
    camera = find(fake)
    assert camera.identity == "C3500000000789"
    fake.serial = "C3500000000999"
    camera.link.patience = replace(camera.link.patience, backoff_s=())
    result = pull(camera, tmp_path / "dest", PullOptions())

    assert [failure.error.code for failure in result.failed][-1] == "other-camera"
    assert len(result.not_tried) == 2


def test_a_layout_that_makes_files_meet_is_refused_before_any_byte(camera_with, pull_from):
    """Nothing is fetched."""
    fake = camera_with()
    with pytest.raises(LayoutError):
        pull_from(fake, plan=PlanOptions(layout="{date}/{kind}.{ext}"))

    assert fake.file_requests() == []


def test_f16_log_lines_before_every_file_end_the_pull(camera_with, pull_from, monkeypatch):
    """After three files in a row; a card of hundreds would take hours of retries."""

    def garbled(_url, part, **_):
        raise TransferError(f"{part.name}: sends no HTTP", code="not-http")

    monkeypatch.setattr("labkit.gopro.fetchers.fetch", garbled)
    result = pull_from(camera_with())

    assert len(result.failed) == 3
    assert len(result.not_tried) == ALL - 3
