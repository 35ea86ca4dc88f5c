"""The command line as a whole: verbs, exit codes, connection, and that it is never deployed."""

import re
import subprocess
import sys
from fnmatch import fnmatch

import pytest

from cli.exit_codes import ExitCode
from local.package import CONTENTS
from local.stack import ROOT, Stack
from tests import secret_factory
from tests.cli.conftest import Run

GUIDE = (ROOT / "docs" / "cli.md").read_text()
VERBS = ("apply", "check", "explain", "export", "plan", "rejected", "template")


def test_help_lists_every_verb(run_cli: Run) -> None:
    """Each verb has a line of help."""
    out = run_cli("--help").out

    assert [verb for verb in VERBS if f"│ {verb} " not in out] == []


def test_guide_has_every_option(run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/cli.md names each option of each verb."""
    monkeypatch.setenv("NO_COLOR", "1")
    calls: list[tuple[str, ...]] = [(verb,) for verb in VERBS if verb != "rejected"]
    calls += [("rejected", name) for name in ("list", "replay", "discard")]

    options = {
        option
        for call in calls
        for option in re.findall(r"--[a-z][a-z-]+", run_cli(*call, "--help").out)
    }

    assert [o for o in sorted(options - {"--help"}) if f"`{o}" not in GUIDE] == []


def test_guide_has_every_exit_code() -> None:
    """docs/cli.md has a row for each exit code, and no other."""
    documented = re.findall(r"^\| `(\d+)` \|", GUIDE, re.MULTILINE)

    assert [int(code) for code in documented] == list(ExitCode)


@pytest.mark.parametrize("arguments", [("nonsense",), ("check",), ("apply", "x", "--mode", "y")])
def test_usage_errors(run_cli: Run, arguments: tuple[str, ...]) -> None:
    """A command that cannot be understood has the exit code of usage errors."""
    assert run_cli(*arguments).code == ExitCode.USAGE


def test_a_file_that_is_missing(run_cli: Run) -> None:
    """A file that does not exist is a usage error."""
    ran = run_cli("check", "missing.csv")

    assert ran.code == ExitCode.USAGE
    assert "cannot be read" in ran.err


def test_a_proxy_does_not_see_local_requests(
    run_cli: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to this machine, which are not encrypted, do not go through a proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert run_cli("export", "--url", stack.host.url).code == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app",
        "ftp://app",
        "http://[::1]x",
        "http://☃.de\x07",
        "https://a/?code=1",
        "https://a/#k",
    ],
)
def test_urls_that_are_none(run_cli: Run, url: str) -> None:
    """An address that is no URL, or has a key in it, is a usage error."""
    assert run_cli("export", "--url", url or " ").code == 2


def test_a_key_that_is_none(run_cli: Run, stack: Stack) -> None:
    """A function key with a space, as from a wrong copy, is a usage error."""
    ran = run_cli("export", "--url", stack.host.url, "--key", secret_factory.function_key() + " ")

    assert (ran.code, "copy it again" in ran.err) == (2, True)


def test_runs_as_a_module() -> None:
    """`python -m cli` runs in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "template"], cwd=ROOT, capture_output=True, check=True
    )

    assert b"registrationId" in ran.stdout


def test_it_is_not_deployed() -> None:
    """Neither the package nor `func azure functionapp publish` has the command line."""
    ignored = (ROOT / ".funcignore").read_text().split()

    assert "cli" not in CONTENTS
    assert any(fnmatch("cli", pattern) for pattern in ignored)


def test_the_app_does_not_import_it() -> None:
    """The app loads neither the command line nor its packages."""
    code = "import sys, function_app; print({m.split('.')[0] for m in sys.modules} & {'cli', 'typer', 'rich'})"
    ran = subprocess.run(  # noqa: S603  our own Python and code
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "set()\n"
