"""A pull that is killed at random moments, and run again until it is done."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys

import pytest

from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_jpeg, make_mp4
from labkit.gopro.journal import EntryState, read_journal

KILLS = int(os.environ.get("LABKIT_TEST_KILLS", "6"))
"""How many kills; 100 for the full measure."""
FILES = 200


@pytest.fixture(scope="module")
def big_card():
    """200 files, some of them large enough to be cut in the middle."""
    files = [
        CardFile("100GOPRO", f"GOPR{number:04d}.JPG", make_jpeg(40_000 + number, seed=number))
        for number in range(FILES - 20)
    ]
    files += [
        CardFile("101GOPRO", f"GX01{number:04d}.MP4", make_mp4(1_500_000 + number, seed=number))
        for number in range(20)
    ]
    return Card(files)


def start(fake, destination):
    """Begin a pull in a process of its own."""
    command = [sys.executable, "-m", "labkit", "gopro", "pull", "--host", str(fake.address)]
    return subprocess.Popen(
        [*command, str(destination)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def check_final_names(destination, card):
    """Nothing under a final name is short or wrong; nothing in the journal is untrue."""
    originals = {file.name: file for file in card.files}
    for path in destination.rglob("G*"):
        if path.suffix != ".part":
            original = originals[path.name]
            assert path.read_bytes() == original.read(0, original.size), path
    for entry in read_journal(destination).entries:
        if entry.state is EntryState.DONE:
            assert (destination / entry.path).stat().st_size == entry.size_bytes


@pytest.mark.timeout(1800)
def test_a_pull_that_is_killed_again_and_again(camera_with, tmp_path, big_card, record_property):
    """Never a wrong file, nothing fetched twice but the part in flight, a readable journal."""
    fake = camera_with(files=big_card)
    moments = random.Random(20_240_615)
    kills, folders, counted = 0, 0, 0
    repeated = {}
    destination = tmp_path / "dest0"
    while kills < KILLS:
        kills += killed(start(fake, destination), moments.uniform(0.12, 0.6))
        check_final_names(destination, big_card)
        done = [entry for entry in read_journal(destination).entries if entry.size_bytes]
        if len(done) == FILES:  # nothing is left to be cut off: begin anew
            count_repeats(fake.file_requests()[counted:], repeated)
            counted = len(fake.file_requests())
            folders += 1
            shutil.rmtree(destination)
            destination = tmp_path / f"dest{folders}"
    process = start(fake, destination)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    check_final_names(destination, big_card)
    assert len([path for path in destination.rglob("G*") if path.is_file()]) == FILES
    count_repeats(fake.file_requests()[counted:], repeated)
    record_property("kills", kills)
    record_property("files_asked_for_again", sum(repeated.values()))
    # A kill can cost the file under way a second request, and no other file.
    assert sum(repeated.values()) <= kills


def killed(process, after_s):
    """Kill the process after a while; False when it ended by itself before that."""
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def count_repeats(requests, repeated):
    """Count the requests for files beyond the first of each."""
    seen = set()
    for request in requests:
        name = request.path.rpartition("/")[2]
        if name in seen:
            repeated[name] = repeated.get(name, 0) + 1
        seen.add(name)
