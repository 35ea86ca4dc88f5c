"""`template`: an empty file to fill in."""

import csv
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.columns import Member, insert, resolve, schema
from cli.options import KindName
from cli.profile import parse_delimiter
from shared.dps.models import AttestationType


class TemplateFormat(StrEnum):
    """The formats of templates."""

    CSV = "csv"
    NDJSON = "ndjson"


class Attestation(StrEnum):
    """The types of attestation, without `none`, which no device can use."""

    SYMMETRIC_KEY = AttestationType.SYMMETRIC_KEY.value
    X509 = AttestationType.X509.value
    TPM = AttestationType.TPM.value


# Members of the user's own, as an example.
_OWN = {
    ("initialTwin", "tags", "plant"): "a tag of your own: text, with its zeros (007)",
    ("initialTwin", "tags", "line:number"): "a tag that is a number; also :boolean and :json",
    ("initialTwin", "properties", "desired", "interval:number"): "a desired property of your own",
}
_EXAMPLES = {
    "registrationId": "press-0117",
    "enrollmentGroupId": "presses",
    "deviceId": "press-0117",
    "attestation.tpm.endorsementKey": "AToAAQALAAMAsgAgg3GXZ0SEs",
    "attestation.x509.caReferences.primary": "factory-ca",
    "provisioningStatus": "enabled",
    "reprovisionPolicy.updateHubAssignment": "yes",
    "reprovisionPolicy.migrateDeviceData": "yes",
    "allocationPolicy": "hashed",
    "capabilities.iotEdge": "no",
    "initialTwin.tags.plant": "007",
    "initialTwin.tags.line:number": "4",
    "initialTwin.properties.desired.interval:number": "60",
}
# DPS sets the host name from iotHubs.
_LEFT_OUT = {("iotHubHostName",)}
_REQUIRED = {"registrationId", "enrollmentGroupId", "attestation"}
# The certificates of the other kind.
_CERTIFICATES = {
    KindName.ENROLLMENT: "signingCertificates",
    KindName.GROUP: "clientCertificates",
}


def verb(
    file_format: Annotated[
        TemplateFormat, typer.Option("--format", help="The format.")
    ] = TemplateFormat.CSV,
    kind: Annotated[KindName, typer.Option(help="The kind of records.")] = KindName.ENROLLMENT,
    attestation: Annotated[
        Attestation, typer.Option(help="How the devices authenticate.")
    ] = Attestation.SYMMETRIC_KEY,
    delimiter: Annotated[
        str, typer.Option("--delimiter", help="Of CSV: comma, semicolon or tab.")
    ] = "comma",
) -> None:
    """Print a file to fill in: a comment for each column, the columns, and one example."""
    if kind is KindName.GROUP and attestation is Attestation.TPM:
        raise typer.BadParameter("TPM attestation is for individual enrollments only.")
    columns = dict(_columns(kind, attestation))
    example = _EXAMPLES | {"attestation.type": attestation.value}
    for name, description in columns.items():
        typer.echo(f"# {name}: {description}")
    if file_format is TemplateFormat.CSV:
        writer = csv.writer(sys.stdout, delimiter=parse_delimiter(delimiter), lineterminator="\n")
        writer.writerow(columns)
        writer.writerow([example.get(name, "") for name in columns])
        return
    document: dict[str, Any] = {}
    for name in columns:
        if name in example:
            path, parse = resolve(name, kind.kind)
            insert(document, path, parse(example[name]))
    typer.echo(json.dumps(document))


def _columns(name: KindName, attestation: Attestation) -> Iterator[tuple[str, str]]:
    """Yields name and description of the columns: the id, then those of the model."""
    members = schema(name.kind).leaves.values()
    id_first = sorted(members, key=lambda member: member.name != name.kind.id_member)
    for member in id_first:
        if _is_useful(member, attestation) and _CERTIFICATES[name] not in member.path:
            is_required = member.is_required and member.path[0] in _REQUIRED
            required = "; required" if is_required else ""
            yield member.name, member.description + required
    for path, description in _OWN.items():
        yield ".".join(path), description


def _is_useful(member: Member, attestation: Attestation) -> bool:
    top, *details = member.path
    is_other = top == "attestation" and details[0] not in ("type", attestation.value)
    return not (member.is_read_only or is_other or member.path in _LEFT_OUT)
