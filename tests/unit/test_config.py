# SPDX-License-Identifier: Apache-2.0
"""The settings are checked as a whole, and what is wrong with them is said by the option's name."""

from pathlib import Path
from typing import Any

import pytest

from keyquorum.config import ConfigError, Settings, is_loopback
from keyquorum.config.sources import read

DATA = Path("/data")


def test_the_defaults_with_a_data_directory_are_right() -> None:
    Settings(data=DATA).check()
    Settings(data=None, development=True).check()


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"account": "1234"}, "--account"),
        ({"account": "\u0661" * 12}, "--account"),
        ({"account": "111122223333\n"}, "--account"),
        ({"region": "US-EAST-1"}, "--region"),
        ({"region": "us-east-1/"}, "--region"),
        ({"region": ""}, "--region"),
        ({"arn_format": "other"}, "--arn-format"),
        ({"port": -1}, "--port"),
        ({"port": 65_536}, "--port"),
        ({"workers": 0}, "--workers"),
        ({"lock_timeout": 0.0}, "--lock-timeout"),
        ({"lock_timeout": -1.0}, "--lock-timeout"),
        ({"lock_timeout": float("nan")}, "--lock-timeout"),
        ({"data": None}, "--data"),
    ],
)
def test_the_option_that_is_wrong_is_named(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option} "):
        Settings(**{"data": DATA, **changes}).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_an_address_that_only_this_machine_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "localhost.example.com", "", "127.1"])
def test_an_address_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


def test_the_networks_of_proxies() -> None:
    given = read({"trusted-proxy": ("10.0.0.0/8", "192.0.2.1", "::1")}, {"KEYQUORUM_CONFIG": ""})
    assert [str(n) for n in given.settings().trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32", "::1/128"]
    for text in ("10.0.0.1/8", "proxy", "10.0.0.0/33", ""):
        with pytest.raises(ConfigError, match=r"^--trusted-proxy: "):
            read({"trusted-proxy": (text,)}, {"KEYQUORUM_CONFIG": ""})
