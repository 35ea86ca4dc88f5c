"""Files for the tests of the command line, and the records that DPS has."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

HEADER = "registrationId,attestation.type,initialTwin.tags.plant"


def write_csv(
    rows: Iterable[str], *, header: str = HEADER, file: Path = Path("devices.csv")
) -> Path:
    """Writes a CSV file into the current directory."""
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def device_rows(count: int, *, tag: str = "007") -> list[str]:
    """Returns rows of devices with symmetric keys that DPS generates."""
    return [f"press-{number:04},symmetricKey,{tag}" for number in range(count)]


def stored(app: httpx.Client, path: str = "enrollments") -> dict[str, dict[str, Any]]:
    """Returns all records of DPS by id, as queries return them."""
    records: dict[str, dict[str, Any]] = {}
    headers: dict[str, str] = {}
    while True:
        response = app.post(f"/{path}/query", json={"query": "SELECT *"}, headers=headers)
        for record in response.raise_for_status().json():
            records[record.get("registrationId") or record["enrollmentGroupId"]] = record
        if "x-ms-continuation" not in response.headers:
            return records
        headers = {"x-ms-continuation": response.headers["x-ms-continuation"]}


def attestation(app: httpx.Client, id: str, path: str = "enrollments") -> dict[str, Any]:
    """Returns the attestation of a record, with its keys."""
    response = app.post(f"/{path}/{id}/attestationmechanism").raise_for_status()
    mechanism: dict[str, Any] = response.json()
    return mechanism
