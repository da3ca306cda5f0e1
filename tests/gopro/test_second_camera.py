"""Two cameras that name their files alike, pulled into one folder."""

from __future__ import annotations

import pytest

from labkit.gopro import PlanOptions
from labkit.gopro.fake import made_up_card


@pytest.mark.parametrize("layout", ["{name}", "{date}/{name}"])
def test_the_files_of_both_are_kept(camera_with, pull_from, tmp_path, layout):
    """The same names, sizes and times from another serial number go to paths of their own."""
    options = {"plan": PlanOptions(layout=layout)}
    first = pull_from(camera_with(serial="C3500000000001"), **options)
    content = {file.path: (tmp_path / "dest" / file.path).read_bytes() for file in first.downloaded}
    second = pull_from(camera_with(serial="C3500000000002", files=made_up_card()), **options)
    assert len(second.downloaded) == len(first.downloaded)
    assert not {file.path for file in second.downloaded} & set(content)
    for path, data in content.items():
        assert (tmp_path / "dest" / path).read_bytes() == data
