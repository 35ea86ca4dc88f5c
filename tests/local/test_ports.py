"""Port numbers from the environment."""

import pytest

from local.ports import port


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 7090), ("", 7090), (" 8080 ", 8080), ("0", 0), ("65535", 65535)]
)
def test_port_is_read_from_the_variable(
    monkeypatch: pytest.MonkeyPatch, text: str | None, expected: int
) -> None:
    """The port is the variable's, or the default if the variable is unset or empty."""
    monkeypatch.delenv("SOME_PORT", raising=False)
    if text is not None:
        monkeypatch.setenv("SOME_PORT", text)

    assert port("SOME_PORT", 7090) == expected


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.0", "٣"])
def test_invalid_port_is_rejected(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The error names the variable and what is allowed."""
    monkeypatch.setenv("SOME_PORT", text)

    with pytest.raises(ValueError, match="SOME_PORT must be a port"):
        port("SOME_PORT", 7090)
