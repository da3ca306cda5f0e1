"""Reading archives from a TV, and writing what they hold: nothing lost, nothing outside."""

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.tv.tarstream import (
    BLOCK_BYTES,
    TarReader,
    _ordinary_header,
    end_of_archive,
    padding,
    safe_parts,
)
from labkit.tv.unpack import Unpacker

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
# What file systems and tar can name; surrogates stand for bytes that are no UTF-8.
CHARACTERS = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
PARTS = st.text(CHARACTERS, min_size=1, max_size=40).filter(lambda part: part not in {".", ".."})
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
HOSTILE = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "link", "\\", "c:", "x" * 300]),
    min_size=1,
    max_size=5,
).map("/".join)


def archive_of(members, form=tarfile.PAX_FORMAT):
    """Write an archive of (name, contents)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, contents in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(contents), 1_600_000_000
            archive.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def in_pieces(data, sizes):
    """Cut bytes into pieces of the sizes, again and again."""
    position, index = 0, 0
    while position < len(data):
        size = sizes[index % len(sizes)]
        yield data[position : position + size]
        position, index = position + size, index + 1


def read(pieces):
    """The members of an archive with their contents, and whether it ended."""
    reader = TarReader(pieces, "a.tar")
    members = [(entry.name, b"".join(reader.contents())) for entry in reader]
    return members, reader.complete


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=4),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(st.integers(1, 3000), min_size=1, max_size=4),
)
def test_archives_are_read_back_whatever_the_pieces(members, form, sizes):
    """Long and foreign names, in both forms that hold them."""
    data = archive_of(members, form)
    assert read(in_pieces(data, sizes)) == (members, True)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=600)), min_size=1, max_size=3), st.data())
def test_a_cut_off_archive_is_never_complete(members, data):
    """Wherever the connection broke, before the end's two blocks."""
    whole = archive_of(members)
    content = whole.rstrip(b"\0")
    cut = data.draw(st.integers(0, len(content)))
    try:
        _, complete = read([whole[:cut]])
    except LabkitError:
        return
    assert not complete


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data):
    """Nothing but a LabkitError comes out of it."""
    damaged = bytearray(archive_of([("ä" * 120, b"x" * 700), ("b", b"")]))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read([bytes(damaged)])
    except LabkitError:
        return


def pax_header(records):
    """A member whose extended header holds the records as they are."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    member = tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT)
    return header.tobuf() + records + padding(len(records)) + member + end_of_archive(0)


@pytest.mark.parametrize(
    "records",
    [
        b"9" * 5000 + b" path=x\n",
        b"18 size=" + b"9" * 9 + b"\n",
        b"11 size=-1\n",
        b"11 size=ab\n",
        b"0 path=x\n",
        b"99 path=x\n",
        b"path=x\n",
        b"\xff\xfe path=\xff\n",
    ],
)
def test_hostile_extended_headers_are_read_or_refused(records):
    """Numbers that are none, too long, or negative."""
    try:
        read([pax_header(records)])
    except LabkitError:
        return


@pytest.mark.parametrize("mtime", [b"inf", b"nan", b"-inf", b"1e300", b"-1e300", b"9" * 30])
def test_an_impossible_time_does_not_stop_a_copy(mtime, tmp_path):
    """A TV's clock may say anything; the file matters."""
    record = b" mtime=" + mtime + b"\n"
    length = len(record) + 2
    reader = TarReader([pax_header(str(length).encode() + record)], "a.tar")
    unpacker = Unpacker(tmp_path / "out")
    try:
        for entry in reader:
            unpacker.entry(entry, reader.contents())
    except LabkitError:
        return
    assert (tmp_path / "out" / "a").read_bytes() == b""


def test_a_negative_size_is_refused():
    """Base-256 numbers may be negative."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[156:157] = tarfile.GNUTYPE_LONGNAME
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(LabkitError):
        read([bytes(block) + bytes(4 * BLOCK_BYTES)])


@given(HOSTILE)
def test_a_name_is_safe_only_below_its_folder(name):
    """The rule agrees with what the operating system makes of the path."""
    parts = safe_parts(name)
    resolved = os.path.normpath(f"/top/{name}")
    if parts is not None:
        assert os.path.normpath("/top/" + "/".join(parts)) == resolved
        assert resolved.startswith("/top/")


KINDS = st.sampled_from(["file", "folder", "symlink", "hardlink"])


@given(members=st.lists(st.tuples(HOSTILE, KINDS, HOSTILE), max_size=6))
def test_nothing_is_written_outside_of_the_destination(members, tmp_path_factory):
    """Whatever names and links a TV sends, in whatever order."""
    base = tmp_path_factory.mktemp("unpack")
    (base / "outside").mkdir()
    (base / "outside" / "kept").write_text("kept")
    types = {
        "file": tarfile.REGTYPE,
        "folder": tarfile.DIRTYPE,
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
    }
    data = b""
    for name, kind, target in members:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = types[kind], target
        data += info.tobuf(tarfile.PAX_FORMAT)
    reader = TarReader([data + end_of_archive(len(data))], "a.tar")
    unpacker = Unpacker(base / "inside")
    try:
        for entry in reader:
            unpacker.entry(entry, reader.contents())
        unpacker.finish()
    except LabkitError:
        pass
    assert {path.name for path in base.iterdir()} <= {"outside", "inside"}
    assert [(p.name, p.read_text()) for p in (base / "outside").iterdir()] == [("kept", "kept")]
    for folder, _, names in os.walk(base / "inside"):
        for name in names:
            path = Path(folder, name)
            if not leads_in_circles(path):
                assert path.resolve().is_relative_to(base / "inside")


def leads_in_circles(path):
    """Tell whether a link leads to itself, and so to nothing."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def test_a_link_through_a_link_leads_nowhere_outside(tmp_path):
    """`..` behind another link's name is above what that one leads to."""
    unpacker = Unpacker(tmp_path / "inside")
    (tmp_path / "secret").write_text("kept")
    data = b""
    for name, target in (("x/y/up", "../.."), ("x/y/out", "up/../secret"), ("x/y/in", "up/x")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        data += info.tobuf(tarfile.PAX_FORMAT)
    reader = TarReader([data + end_of_archive(len(data))], "a.tar")
    for entry in reader:
        unpacker.entry(entry, reader.contents())
    unpacker.finish()

    assert {path.name for path in (tmp_path / "inside/x/y").iterdir()} == {"up", "in"}
    assert "out: a link to up/../secret, outside" in unpacker.skipped[0]


@given(
    name=st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=99),
    prefix=st.sampled_from(["", "a/b", "long" * 30]),
    kind=st.sampled_from([b"0", b"1", b"2", b"3", b"5", b"L", b"x", b"S", b"\0"]),
    size=st.one_of(st.integers(0, 8**11 - 1), st.integers(8**11, 2**60)),
    mtime=st.integers(-5, 2**35),
    flip=st.one_of(st.none(), st.integers(0, 511)),
)
def test_ordinary_headers_are_read_as_tarfile_reads_them(name, prefix, kind, size, mtime, flip):
    """The quick way gives what the thorough one gives, or leaves the header to it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.linkname = kind, size, mtime, "target"
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-BLOCK_BYTES:])
    block[345 : 345 + len(prefix)] = prefix.encode()
    checksum = sum(block) - sum(block[148:156]) + 256
    block[148:156] = b"%06o\0 " % checksum
    if flip is not None:
        block[flip] ^= 1
    found = _ordinary_header(bytes(block))
    if found is None:
        return
    expected = tarfile.TarInfo.frombuf(bytes(block), "utf-8", "surrogateescape")
    for field in ("name", "type", "size", "mode", "mtime", "linkname"):
        assert getattr(found, field) == getattr(expected, field)


def test_what_an_ordinary_header_is_not():
    """A wrong sum, and numbers in binary, are left to the thorough reading."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    assert _ordinary_header(bytes(block)) is not None
    block[0] ^= 1
    assert _ordinary_header(bytes(block)) is None
    large = tarfile.TarInfo("a")
    large.size = 8**12
    assert _ordinary_header(large.tobuf(tarfile.GNU_FORMAT)) is None
