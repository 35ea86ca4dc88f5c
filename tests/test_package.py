"""The deployment package: its content, its reproducibility, and that it runs."""

import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path

import httpx
import pytest

from local.dps import DpsStandIn
from local.package import CONTENTS, build, sources
from local.stack import ROOT
from tests import secret_factory

IGNORED = (ROOT / ".funcignore").read_text().split()


def test_package_contains_only_the_app(tmp_path: Path) -> None:
    """It has sources, their compiled modules, host.json and requirements.txt, and no local path."""
    package = zipfile.ZipFile(build(tmp_path / "app.zip"))

    names = package.namelist()
    compiled = [name for name in names if name.endswith(".pyc")]
    assert {name.split("/")[0] for name in names} <= {*CONTENTS, "__pycache__"}
    assert sorted(set(names) - set(compiled)) == sorted(p.as_posix() for p in sources(ROOT))
    assert len(compiled) == sum(name.endswith(".py") for name in names)
    assert not any(str(ROOT).encode() in package.read(name) for name in names)


def test_package_contains_no_other_files(tmp_path: Path) -> None:
    """Only Python modules of the directories are packaged, and files that are named explicitly."""
    for name in (
        "shared/a.py",
        "shared/.env",
        "shared/x.py~",
        "local.settings.json",
        "mine/p.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    assert sources(tmp_path) == [Path("shared/a.py")]
    assert sources(tmp_path, ["mine/p.json"]) == [Path("mine/p.json"), Path("shared/a.py")]


def test_package_refuses_symbolic_links(tmp_path: Path) -> None:
    """A symbolic link in the sources is an error."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.py").symlink_to("/etc/hostname")

    with pytest.raises(ValueError, match="links"):
        sources(tmp_path)


def test_builds_are_reproducible(tmp_path: Path) -> None:
    """Two builds, one from a copy with other file times, are equal byte for byte."""
    for name in sources(ROOT):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "copy" / name)

    first = build(tmp_path / "first.zip")
    second = build(tmp_path / "second.zip", root=tmp_path / "copy")

    assert first.read_bytes() == second.read_bytes()


def test_funcignore_agrees_with_the_package() -> None:
    """The files that .funcignore does not exclude are those of the package."""
    kept = [
        entry.name
        for entry in ROOT.iterdir()
        if not any(fnmatch(entry.name, pattern) for pattern in IGNORED)
    ]

    assert set(kept) <= set(CONTENTS)
    assert {"function_app.py", "functions", "shared", "host.json", "requirements.txt"} <= set(kept)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked package in `app`, and only its requirements in `venv`."""
    directory = tmp_path_factory.mktemp("deployed")
    zipfile.ZipFile(build(directory / "app.zip")).extractall(directory / "app")
    venv.create(directory / "venv", with_pip=True)
    run_python(directory, "-m", "pip", "install", "--quiet", "-r", "app/requirements.txt")
    # The local host, and nothing else of this repository, is importable.
    shutil.copytree(ROOT / "local", directory / "tools" / "local")
    return directory


def run_python(directory: Path, *arguments: str) -> str:
    """Runs the package's own Python and returns its standard output."""
    ran = subprocess.run(  # noqa: S603  the environment created above
        [directory / "venv" / "bin" / "python", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    secret_factory.outputs += [ran.stdout, ran.stderr]
    return ran.stdout


@pytest.mark.long
def test_requirements_include_those_of_azure_identity(unpacked: Path) -> None:
    """azure-identity finds aiohttp, which it needs and does not declare."""
    code = "from azure.identity.aio import DefaultAzureCredential as C; print(type(C()).__name__)"

    assert run_python(unpacked, "-c", code).strip() == "DefaultAzureCredential"


@pytest.fixture(params=["key", "entra"])
def client(
    unpacked: Path, dps: DpsStandIn, request: pytest.FixtureRequest
) -> Iterator[httpx.Client]:
    """A client of the package, which the local host runs in the package's environment."""
    settings = {
        "key": {"DPS_CONNECTION_STRING": dps.connection_string},
        "entra": {
            "DPS_ENDPOINT": dps.url,
            "IDENTITY_ENDPOINT": f"{dps.url}/_identity/token",
            "IDENTITY_HEADER": dps.options.identity_header,
        },
    }[request.param]
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}  # noqa: TID251  the child's
    arguments: list[str | Path] = ["-m", "local.host", "--app", unpacked / "app", "--port", "0"]
    with subprocess.Popen(  # noqa: S603  the environment created above
        [unpacked / "venv/bin/python", *arguments],
        cwd=unpacked / "tools",
        env=inherited | settings,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        lines = list(takewhile(lambda line: line != "ready\n", host.stdout))
        url = lines[0].strip().removeprefix("functions on ")
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client
        host.terminate()
        assert host.wait(10) == 0


@pytest.mark.long
def test_package_runs(client: httpx.Client, dps: DpsStandIn) -> None:
    """The package, as it would be deployed, creates, reads, queries and deletes a record."""
    enrollment = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}

    created = client.put("/enrollments/dev-1", json=enrollment)
    read = client.get("/enrollments/dev-1")
    queried = client.post("/enrollments/query", json={"query": "SELECT *"})
    deleted = client.delete("/enrollments/dev-1", headers={"If-Match": read.headers["etag"]})

    statuses = [reply.status_code for reply in (created, read, queried, deleted)]
    assert statuses == [200, 200, 200, 204]
    assert [record["registrationId"] for record in queried.json()] == ["dev-1"]
    assert [request.status for request in dps.requests] == [200, 200, 200, 204]
