"""Finding a camera: dialects, their order, what is no camera, what it says of itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ExitCode, UsageError
from labkit.gopro import Address, Camera
from labkit.gopro.errors import NotACameraError, NotSupportedError
from labkit.gopro.fake import DIALECT_NAMES, Card, CardFile
from labkit.gopro.fake.media import make_mp4
from labkit.gopro.state import CameraInfo, parse_info, parse_state
from support.scripted_server import ScriptedServer, whole


@pytest.mark.parametrize("markup", ["civetweb", "cherokee"])
@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_every_dialect_brings_the_same(camera_with, pull_from, assert_whole, dialect, markup):
    """All files, whole, whatever the camera speaks and whichever server it runs."""
    result = pull_from(camera_with(dialect=dialect, markup=markup))

    assert_whole(result)
    assert len(result.downloaded) == 12


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_the_dialect_is_found(camera_with, find, dialect):
    """By asking in order."""
    assert find(camera_with(dialect=dialect)).dialect.name == dialect


def test_a_remembered_dialect_is_asked_first(camera_with, find):
    """One request instead of three."""
    fake = camera_with(dialect="fusion")
    find(fake, remembered="fusion")

    assert [request.path for request in fake.requests] == ["/gp/gpMediaListEx"]


def test_a_forced_dialect_is_the_only_one(camera_with, find):
    """`--dialect html` on a camera that speaks JSON; others are not asked."""
    fake = camera_with()

    assert find(fake, dialect="html").dialect.name == "html"
    assert not [request for request in fake.requests if "media/list" in request.path]
    with pytest.raises(UsageError):
        find(fake, dialect="latin")


def test_fusion_brings_both_lenses(camera_with, pull_from, assert_whole):
    """The second card has a path of its own; the same names in it are other files."""
    card = Card(
        [
            CardFile("100GBACK", "GPBK0001.MP4", make_mp4(60_000, seed=1)),
            CardFile("100GFRNT", "GPFR0001.MP4", make_mp4(70_000, seed=2)),
        ]
    )
    for dialect in ("fusion", "html"):
        fake = camera_with(dialect="fusion", files=card, serial=f"C{dialect}")
        forced = {"dialect": dialect}
        result = pull_from(fake, find_options=forced)
        assert_whole(result, card)
        assert all("/videos2/" in r.path for r in fake.file_requests("GPFR0001.MP4"))


def test_a_list_beyond_all_measure_is_no_camera(camera_with, find, monkeypatch):
    """64 MiB are read, not more."""
    monkeypatch.setattr("labkit.gopro.link._MAX_LIST_BYTES", 500)
    with pytest.raises(NotACameraError, match="sends more than"):
        find(camera_with())


def test_another_service_is_named():
    """What answered is said: status, type, title, server."""
    page = whole(b"<title>RouterOS</title>", Content_Type="text/html", Server="evil\x1b[31m")
    script = [page] * 8
    with ScriptedServer(script) as server, pytest.raises(NotACameraError) as caught:
        Camera.find(Address("127.0.0.1", server.port, server.port))

    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "RouterOS" in caught.value.message
    assert caught.value.message.isprintable()


def test_a_camera_without_turbo(camera_with, find):
    """The pages know no commands."""
    with pytest.raises(NotSupportedError):
        find(camera_with(dialect="html")).set_turbo(on=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpControl_info_hero4.json", ("HERO4 Silver", "HD4.01.03.00.00", "REDACTED")),
        ("gpControl_info_hero9.json", ("HERO9 Black", "HD9.01.01.50.00", "redacted")),
        ("gpControl_info_hero11.json", ("HERO11 Black", "H22.01.02.01.00", "REDACTED")),
        ("hero12_ogp_doc_camera_info.json", ("Hero12 Black", "H23.01.01.10.00", "C3501300000000")),
    ],
)
def test_real_infos(shared_fixtures, name, expected):
    """Nested and flat."""
    document = json.loads((shared_fixtures / "gopro/info" / name).read_text())

    assert parse_info(document) == CameraInfo(*expected)


def test_a_real_state(shared_fixtures):
    """The specification's status numbers."""
    document = json.loads((shared_fixtures / "gopro/state/ogp_camera_state.json").read_text())
    state = parse_state(document)

    assert (state.battery_percent, state.recording, state.card) == (36, False, "ok")
    assert (state.photos, state.videos, state.free_bytes) == (0, 31, 25_630_304 * 1024)
    assert state.clock == "%16%01%04%06%1E%21"


def test_the_firmware_names_a_model_that_does_not_name_itself():
    """The longest prefix counts."""
    assert parse_info({"firmware_version": "H24.02.01.00.00"}).model == "MAX 2"
    assert parse_info({"firmware_version": "H99.01"}).model is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(["6", "8", "10", "33", "38", "39", "40", "54", "70", "113"])


@given(JSON | st.fixed_dictionaries({"status": st.dictionaries(KEYS, JSON)}))
def test_any_state_is_read_or_is_none(document):
    """No document makes the parsers stumble."""
    parse_state(document)
    parse_info(document)


@given(st.text(max_size=100))
def test_no_text_of_a_camera_drives_the_terminal(text):
    """Model names are shown harmlessly."""
    info = parse_info({"model_name": text, "firmware_version": "H22"})

    assert info.model is None or info.model.isprintable()


def test_a_list_that_was_cut_is_asked_for_again(camera_with, find, monkeypatch):
    """Once; a camera is not taken for something else because of one lost packet."""
    fake = camera_with()
    answer = fake._list
    monkeypatch.setattr(
        fake,
        "_list",
        lambda request, count: (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", b'{"id": "1", ']
            if count == 1
            else answer(request, count)
        ),
    )

    assert find(fake).listing().files
