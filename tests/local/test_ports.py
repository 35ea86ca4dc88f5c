"""Ports from the environment."""

import pytest

from local.ports import port


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 7090), ("", 7090), (" 8080 ", 8080), ("0", 0), ("65535", 65535)]
)
def test_a_port_is_what_the_variable_holds_or_the_default(monkeypatch, text, expected):
    """Unset and empty both mean the default."""
    monkeypatch.delenv("SOME_PORT", raising=False)
    if text is not None:
        monkeypatch.setenv("SOME_PORT", text)

    assert port("SOME_PORT", 7090) == expected


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.0", "٣"])
def test_garbage_is_named(monkeypatch, text):
    """With the name of the variable."""
    monkeypatch.setenv("SOME_PORT", text)

    with pytest.raises(ValueError, match="SOME_PORT must be a port"):
        port("SOME_PORT", 7090)
