"""The package: just what the app needs, the same bytes each time, and it runs as itself."""

import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest

from local.dps import DpsStandIn
from local.package import CONTENTS, build, sources
from local.stack import ROOT
from tests import secret_factory

IGNORED = (ROOT / ".funcignore").read_text().split()


def test_package_holds_the_app_and_nothing_else(tmp_path: Path):
    """Sources, their compiled modules, and the two files the host reads; nothing of this machine."""
    package = zipfile.ZipFile(build(tmp_path / "app.zip"))

    names = package.namelist()
    compiled = [name for name in names if name.endswith(".pyc")]
    assert {name.split("/")[0] for name in names} <= {*CONTENTS, "__pycache__"}
    assert sorted(set(names) - set(compiled)) == sorted(p.as_posix() for p in sources(ROOT))
    assert len(compiled) == sum(name.endswith(".py") for name in names)
    assert not any(str(ROOT).encode() in package.read(name) for name in names)


def test_package_takes_nothing_that_lies_about(tmp_path: Path):
    """Of directories only modules go in, and what is named beside them."""
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


def test_package_follows_no_links(tmp_path: Path):
    """What a link leads to is none of the app's."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.py").symlink_to("/etc/hostname")

    with pytest.raises(ValueError, match="links"):
        sources(tmp_path)


def test_same_sources_make_the_same_bytes(tmp_path: Path):
    """Two builds, one from a copy elsewhere with other file times, are equal byte for byte."""
    for name in sources(ROOT):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "copy" / name)

    first = build(tmp_path / "first.zip")
    second = build(tmp_path / "second.zip", root=tmp_path / "copy")

    assert first.read_bytes() == second.read_bytes()


def test_core_tools_deploy_the_same():
    """What .funcignore does not keep out is what the package holds."""
    kept = [
        entry.name
        for entry in ROOT.iterdir()
        if not any(fnmatch(entry.name, pattern) for pattern in IGNORED)
    ]

    assert set(kept) <= set(CONTENTS)
    assert {"function_app.py", "functions", "shared", "host.json", "requirements.txt"} <= set(kept)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """A directory with the unpacked package in `app` and its requirements, alone, in `venv`."""
    directory = tmp_path_factory.mktemp("deployed")
    zipfile.ZipFile(build(directory / "app.zip")).extractall(directory / "app")
    venv.create(directory / "venv", with_pip=True)
    run(directory, "-m", "pip", "install", "--quiet", "-r", "app/requirements.txt")
    # The local host, and nothing else of this repository within reach.
    shutil.copytree(ROOT / "local", directory / "tools" / "local")
    return directory


def run(directory: Path, *arguments: str) -> str:
    """What the package's own Python prints."""
    ran = subprocess.run(  # noqa: S603  the environment just made
        [directory / "venv" / "bin" / "python", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    secret_factory.said += [ran.stdout, ran.stderr]
    return ran.stdout


@pytest.mark.long
def test_requirements_are_enough_for_entra(unpacked: Path):
    """The identity library finds all it needs: it declares no aiohttp of its own."""
    code = "from azure.identity.aio import DefaultAzureCredential as C; print(type(C()).__name__)"

    assert run(unpacked, "-c", code).strip() == "DefaultAzureCredential"


@pytest.fixture(params=["key", "entra"])
def served(unpacked: Path, dps: DpsStandIn, request) -> Iterator[httpx.Client]:
    """A client of the package, run by the local host in the package's environment."""
    settings = {
        "key": {"DPS_CONNECTION_STRING": dps.connection_string},
        "entra": {
            "DPS_ENDPOINT": dps.url,
            "IDENTITY_ENDPOINT": f"{dps.url}/_identity/token",
            "IDENTITY_HEADER": dps.options.identity_header,
        },
    }[request.param]
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}  # noqa: TID251  the child's
    with subprocess.Popen(  # noqa: S603  the environment just made
        [
            unpacked / "venv/bin/python",
            "-m",
            "local.host",
            "--app",
            unpacked / "app",
            "--port",
            "0",
        ],
        cwd=unpacked / "tools",
        env=inherited | settings,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        lines = list(iter(host.stdout.readline, "ready\n"))
        url = lines[0].strip().removeprefix("functions on ")
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client
        host.terminate()
        assert host.wait(10) == 0


@pytest.mark.long
def test_package_does_its_work(served: httpx.Client, dps: DpsStandIn):
    """The zip, as it would be deployed, creates, reads, queries and deletes."""
    enrollment = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}

    created = served.put("/enrollments/dev-1", json=enrollment)
    read = served.get("/enrollments/dev-1")
    found = served.post("/enrollments/query", json={"query": "SELECT *"})
    deleted = served.delete("/enrollments/dev-1", headers={"If-Match": read.headers["etag"]})

    statuses = [reply.status_code for reply in (created, read, found, deleted)]
    assert statuses == [200, 200, 200, 204]
    assert [record["registrationId"] for record in found.json()] == ["dev-1"]
    assert [request.status for request in dps.requests] == [200, 200, 200, 204]
