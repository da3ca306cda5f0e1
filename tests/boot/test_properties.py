"""No input, however broken, makes the reading side raise anything but a LabkitError."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.boot.bundle import bundle_of
from labkit.boot.diagnosis import diagnose
from labkit.boot.documents import Document, decode
from labkit.boot.kinds import Kind, recognise
from labkit.boot.parse import (
    blkid,
    bootinfo,
    bootinfo_tables,
    efibootmgr,
    esp,
    fdisk,
    host,
    lsblk,
    mkconfig_log,
    os_prober,
    parted,
    probe,
    sfdisk,
    sgdisk,
)
from labkit.boot.partition_table import read_table
from labkit.boot.paste import cut_paste
from labkit.boot.redact import Redactor
from labkit.errors import LabkitError
from support.boot_inputs import HEALTHY, bundle_from, diagnosed

PARSERS = [
    fdisk.parse_fdisk,
    sfdisk.parse_sfdisk_json,
    sfdisk.parse_sfdisk_dump,
    parted.parse_parted,
    bootinfo_tables.parse_bootinfo_table,
    sfdisk.parse_sgdisk_verify,
    sgdisk.parse_sgdisk_table,
    blkid.parse_blkid,
    bootinfo_tables.parse_bootinfo_blkid,
    lsblk.parse_lsblk_json,
    lsblk.parse_lsblk_tree,
    probe.parse_blkid_json,
    probe.parse_udev_json,
    efibootmgr.parse_efibootmgr,
    esp.parse_esp_list,
    esp.parse_esp_stub,
    os_prober.parse_os_prober,
    os_prober.parse_os_prober_json,
    mkconfig_log.parse_mkconfig_log,
    bootinfo.parse_boot_file_lines,
    bootinfo.parse_boot_files,
    bootinfo.parse_boot_sectors,
    bootinfo.parse_filtered_menu,
    bootinfo.parse_mbr_codes,
    host.parse_clock_is_local,
    host.parse_df,
    host.parse_firmware_mode,
    host.parse_fstab,
    host.parse_grub_d,
    host.parse_os_release,
    host.parse_secure_boot,
    read_table,
    cut_paste,
]
JSON_SAMPLES = [
    '{"partitiontable": {"device": "/dev/sda", "partitions": [{"node": "/dev/sda1", "start": 5}]}}',
    '{"blockdevices": [{"name": "sda", "children": [{"name": "sda1", "size": null}]}]}',
    '{"/dev/sda1": {"ID_FS_TYPE": "vfat", "size": "1"}}',
    '{"/dev/sda1": {"TYPE": 5}}',
    '{"/dev/sda1": {"long": "Windows", "label": 3, "type": "efi"}}',
]
TABLE_SAMPLES = [
    (
        "Disk /dev/sda: 83886080 sectors, 40.0 GiB\nSector size (logical): 512 bytes\n"
        "First usable sector is 34, last usable sector is 83886046\n"
        "Number  Start (sector)    End (sector)  Size       Code  Name\n"
        "   1            2048          206847   100.0 MiB   EF00  Basic data partition\n"
    ),
    (
        "Disk /dev/sda: 40 GiB, 42949672960 bytes, 83886080 sectors\n"
        "Units: cylinders of 16065 * 512 = 8225280 bytes\n\n"
        "Type       Device     Start Size UUID Name\n"
        "EFI System /dev/sda1   2048 9.5G E80F0997-7C29-7744-9AC2-A27A169CCDF6 Basic data\n"
    ),
]
SAMPLES = [*HEALTHY.values(), *JSON_SAMPLES, *TABLE_SAMPLES]
PIECES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(sorted({line for sample in SAMPLES for line in sample.splitlines()})),
    st.sampled_from(["\0", "\x1b[31m", "\u2028", "é", "\ud800", "[" * 200, "99999999999999999999"]),
)


@st.composite
def mangled(draw):
    """A sample with a stretch cut out and something put in its place, or lines at random."""
    if draw(st.booleans()):
        return "\n".join(draw(st.lists(PIECES, max_size=8)))
    text = draw(st.sampled_from(SAMPLES))
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 60)))
    return text[:begin] + draw(PIECES) + text[end:]


@pytest.mark.parametrize("parse", PARSERS, ids=lambda f: f.__name__)
@given(text=mangled())
@settings(max_examples=60, deadline=None)
def test_a_parser_reads_or_refuses(parse, text):
    """Any text is read, or refused with an error of labkit's own."""
    with contextlib.suppress(LabkitError):
        parse(Document.of("input", text))


@given(texts=st.lists(mangled(), max_size=4), kinds=st.lists(st.sampled_from(Kind), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_bundle_gets_a_verdict(texts, kinds):
    """Whatever the inputs hold, and whatever they are called, judging them ends with a verdict."""
    documents = [Document.of(kind.value, text) for kind, text in zip(kinds, texts, strict=False)]
    assert diagnose(bundle_of("bundle", documents)).verdict in {"healthy", "findings", "no-verdict"}


@given(changes=st.dictionaries(st.sampled_from(sorted(HEALTHY)), st.one_of(st.none(), mangled())))
@settings(max_examples=150, deadline=None)
def test_damage_to_some_inputs_never_stops_the_rest(changes):
    """With some inputs broken or missing there is still a diagnosis."""
    files = {n: t for n, t in (HEALTHY | changes).items() if t is not None}
    encoded = {n: t.encode("utf-8", "replace") for n, t in files.items()}
    with contextlib.suppress(LabkitError):
        diagnosed(encoded)


@given(raw=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_decoded_or_refused(raw):
    """Bytes of any kind become text with plain line ends, or an error."""
    with contextlib.suppress(LabkitError):
        document = decode(raw, "input")
        assert "\r" not in document.text
        recognise(document)


@given(salt=st.binary(min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_redacted_inputs_lead_to_the_same_findings(salt):
    """Identifiers are replaced alike everywhere, so that all joins still hold."""
    files = HEALTHY | {
        "efibootmgr.txt": HEALTHY["efibootmgr.txt"].replace("0003,0004", "0004,0003")
    }
    redact = Redactor(salt=salt)
    hidden = {name: redact(text.encode()) for name, text in files.items()}
    before, after = diagnosed(files), diagnose(bundle_from(hidden))
    assert after.root_causes == before.root_causes == ("N02",)
    assert [len(r) for r in hidden.values()] == [len(t.encode()) for t in files.values()]
    assert not re.search(b"1ff43d80|7A8C-9328|ae1d65ea", b"".join(hidden.values()))
