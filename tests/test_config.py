"""The configuration file."""

from __future__ import annotations

import pytest

from labkit.config import read_config
from labkit.errors import ExitCode, InputError


def test_no_file_is_an_empty_configuration(tmp_path):
    """The file is optional."""
    config = read_config(tmp_path / "config.toml")

    assert not config.exists
    assert config.devices("tv") == {}


def test_named_devices(tmp_path):
    """A table a device, under its tool's name."""
    path = tmp_path / "config.toml"
    path.write_text('[tv.livingroom]\naddress = "192.168.1.20"\n')

    config = read_config(path)

    assert config.exists
    assert config.devices("tv") == {"livingroom": {"address": "192.168.1.20"}}


@pytest.mark.parametrize("content", [b"[tv", b"\xff\xfe", b"tv = 3", b'[tv]\naddress = "x"'])
def test_broken_file(tmp_path, content):
    """A broken file is exit 2, and the hint names it."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)

    with pytest.raises(InputError) as caught:
        read_config(path)

    assert caught.value.exit_code == ExitCode.USAGE
    assert str(path) in caught.value.hint
