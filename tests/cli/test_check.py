"""`check`: every fault of a file, found without network."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import secret_factory
from tests.cli.conftest import Run
from tests.cli.files import device_rows, write_csv

GERMAN = "registrationId;attestation.type;initialTwin.tags.city\r\npress-1;symmetricKey;Köln\r\n"


def faults(run_cli: Run, *arguments: object) -> list[tuple[int, str, str]]:
    """Returns line, column and message of each fault."""
    lines = [json.loads(line) for line in run_cli("check", *arguments, "--json").out.splitlines()]
    return [(fault["line"], fault["column"], fault["message"]) for fault in lines[:-1]]


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [
        ("utf-8", ";"),
        ("utf-8-sig", ","),
        ("utf-16", "\t"),
        ("utf-16-le", ";"),
        ("utf-16-be", ","),
        ("cp1252", ";"),
    ],
)
def test_encoding_and_delimiter_are_found(run_cli: Run, encoding: str, delimiter: str) -> None:
    """A file is read in its encoding, with its delimiter."""
    Path("a.csv").write_bytes(GERMAN.replace(";", delimiter).encode(encoding))

    report = run_cli("check", "a.csv", "--json")

    assert (report.code, report.json["rows"], report.json["delimiter"]) == (0, 1, delimiter)
    # A UTF-16 file without a mark of its byte order is named by its order.
    assert report.json["encoding"] == {"utf-16": "utf-16"}.get(encoding, encoding)


def test_an_encoding_that_is_wrong(run_cli: Run) -> None:
    """Where a file is not in the encoding of --encoding, the byte is named."""
    Path("a.csv").write_bytes(GERMAN.encode("cp1252"))

    ran = run_cli("check", "a.csv", "--encoding", "utf-8")

    assert (ran.code, "near byte 77" in ran.err) == (2, True)


def test_a_guessed_encoding_is_reported(run_cli: Run) -> None:
    """That a file is not Unicode is said, because its characters may be others."""
    Path("a.csv").write_bytes(GERMAN.encode("cp1252"))

    assert "encoding cp1252 (it is not valid UTF-8" in run_cli("check", "a.csv").err


def test_separator_line_of_excel(run_cli: Run) -> None:
    """The line `sep=` names the delimiter and is no header."""
    Path("a.csv").write_text("sep=|\nregistrationId|attestation.type\npress-1|symmetricKey\n")

    assert run_cli("check", "a.csv", "--json").json["rows"] == 1


def test_every_fault_has_line_and_column(run_cli: Run) -> None:
    """All faults of all rows are reported, those of cells and those of records."""
    header = "registrationId,attestation.type,allocationPolicy,capabilities.iotEdge,iotHubs"
    write_csv(
        [
            "press-1,symmetricKey,hashed,true,hub-1",
            '"press\n2",fingerprint,nearest,perhaps,',
            "press-3,symmetricKey,custom,no,",
        ],
        header=header,
    )

    found = faults(run_cli, "devices.csv")

    assert [(line, column) for line, column, _ in found] == [
        (3, "capabilities.iotEdge"),
        (3, "attestation.type"),
        (3, "allocationPolicy"),
        (3, "registrationId"),
        (5, "customAllocationDefinition"),
    ]
    assert "must be one of 'hashed', 'geoLatency', 'static' or 'custom'" in found[2][2]


def test_values_are_not_repeated(run_cli: Run) -> None:
    """A fault says what is allowed, not what the cell has: it may be a key."""
    rows = ["press-1,sEcReT-value,static", "press-2,symmetricKey,sEcReT-value"]
    write_csv(rows, header="registrationId,attestation.type,allocationPolicy")

    ran = run_cli("check", "devices.csv", "--json")

    assert ran.json["faults"] == 2
    assert "sEcReT-value" not in ran.out + ran.err


def test_faults_are_a_table(run_cli: Run) -> None:
    """Without --json a fault is a line of a table, and the exit code is 1."""
    write_csv(["press-1,fingerprint,x"])

    ran = run_cli("check", "devices.csv")

    assert ran.code == 1
    assert "      2  press-1         attestation.type" in ran.out
    assert "1 row, 1 fault in 1 row" in ran.out


@pytest.mark.parametrize(
    ("column", "suggestion"),
    [
        ("registrationID2", "registrationId"),
        ("iotHub", "iotHubs"),
        ("Provisioning Status", "provisioningStatus"),
        ("attestation.symetricKey.primaryKey", "attestation.symmetricKey.primaryKey"),
        ("initialTwin.tag.plant", "initialTwin.tags"),
        ("endorsementKey", "attestation.tpm.endorsementKey"),
    ],
)
def test_unknown_columns_are_faults(run_cli: Run, column: str, suggestion: str) -> None:
    """A column that is no member of a record is a fault, with the member that was meant."""
    write_csv([], header=f"registrationId,attestation.type,{column}")

    [(line, name, message)] = faults(run_cli, "devices.csv")

    assert (line, name) == (1, column)
    assert f"did you mean '{suggestion}'?" in message


def test_case_of_columns_and_values(run_cli: Run) -> None:
    """Columns and fixed values are known in any case."""
    header = "REGISTRATIONID,Attestation.Type,provisioningstatus,Capabilities.IotEdge"
    write_csv(["press-1,SymmetricKey,ENABLED,TRUE"], header=header)

    assert faults(run_cli, "devices.csv") == []


def test_ids_twice_in_any_case(run_cli: Run) -> None:
    """Both rows of an id that appears twice, in any case, have a fault that names the other row."""
    write_csv(["press-1,symmetricKey,x", "PRESS-1,symmetricKey,x"])

    assert faults(run_cli, "devices.csv") == [
        (3, "registrationId", "must be unique, ignoring case; line 2 has the same id"),
        (2, "registrationId", "must be unique, ignoring case; line 3 has the same id"),
    ]


def test_columns_are_mapped(run_cli: Run) -> None:
    """Columns of an ERP are mapped or ignored, and constants fill in, from options or a profile."""
    write_csv(["press-1,north,x,"], header="Serial No,Plant,Remark,attestation.type")
    Path("erp.toml").write_text(
        '[columns]\n"Serial No" = "registrationId"\n"Remark" = ""\n'
        '[set]\n"attestation.type" = "symmetricKey"\n'
    )
    plant = ("--column", "Plant=initialTwin.tags.plant")
    options = ("--column", "Serial No=registrationId", "--column", "Remark=")

    by_profile = faults(run_cli, "devices.csv", "--profile", "erp.toml", *plant)
    by_options = faults(
        run_cli, "devices.csv", *options, *plant, "--set", "attestation.type=symmetricKey"
    )

    assert (by_profile, by_options) == ([], [])


def test_a_mapped_column_must_exist(run_cli: Run) -> None:
    """A mapping of a column that the file lacks is a fault."""
    write_csv([])

    [(_, column, message)] = faults(run_cli, "devices.csv", "--column", "Serial=deviceId")

    assert (column, message) == ("Serial", "is mapped, but not a column of the file")


def test_a_faulty_profile_is_a_usage_error(run_cli: Run) -> None:
    """A profile with an unknown section names it; no value is repeated."""
    write_csv([])
    Path("erp.toml").write_text('[colums]\n"Serial No" = "sEcReT"\n')

    ran = run_cli("check", "devices.csv", "--profile", "erp.toml")

    assert (ran.code, "sEcReT" in ran.err) == (2, False)
    assert "did you mean 'columns'?" in ran.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"PK\x03\x04....", "save the sheet as CSV"),
        (b"registrationId,attestation.type\n\x81\xff\n", "name its encoding"),
    ],
)
def test_files_that_are_no_tables(run_cli: Run, content: bytes, message: str) -> None:
    """A file that cannot be read is a usage error that says what to do."""
    Path("a.csv").write_bytes(content)

    ran = run_cli("check", "a.csv")

    assert ran.code == 2
    assert message in ran.err


def test_a_quote_that_is_not_closed(run_cli: Run) -> None:
    """The row where a quote begins is named, because the rest of the file is one cell."""
    write_csv(["press-1,symmetricKey,x", '"press-2,symmetricKey,x', "press-3,symmetricKey,x"])

    [(line, _, message)] = faults(run_cli, "devices.csv")

    assert line == 3
    assert "quote" in message


def test_ndjson_faults_have_paths(run_cli: Run) -> None:
    """Faults of NDJSON have the line and the path of the member; other lines are read."""
    lines: list[Any] = [
        {"registrationId": "press-1", "attestation": {"type": "symmetricKey"}},
        {"registrationId": "press-2", "attestation": {"type": "fingerprint"}},
        [1],
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"registrationId": \n'
    Path("a.ndjson").write_text(text)

    found = faults(run_cli, "a.ndjson")

    assert [(line, column) for line, column, _ in found] == [
        (2, "attestation.type"),
        (3, ""),
        (4, ""),
    ]


def test_members_in_any_case(run_cli: Run) -> None:
    """NDJSON has members and values in any case, as other tools write them; typing errors are faults."""
    lines = [
        {"RegistrationId": "press-1", "attestation": {"Type": "SymmetricKey"}},
        {
            "registrationId": "press-2",
            "attestation": {"type": "symmetricKey"},
            "alocationPolicy": 1,
        },
    ]
    Path("a.ndjson").write_text("\n".join(map(json.dumps, lines)))

    [(line, column, message)] = faults(run_cli, "a.ndjson")

    assert (line, column) == (2, "alocationPolicy")
    assert "did you mean 'allocationPolicy'?" in message


def test_empty_rows_and_comments_are_skipped(run_cli: Run) -> None:
    """Empty rows and comments before the header are no records."""
    header = "registrationId,attestation.type"
    Path("a.csv").write_text(f"# one, with a comma\n\n{header}\n,\npress-1,symmetricKey\n\n,,\n")

    report = run_cli("check", "a.csv", "--json")

    assert (report.code, report.json["rows"]) == (0, 1)


def test_rows_with_too_many_cells(run_cli: Run) -> None:
    """A row with more cells than the header is a fault: a delimiter may be in a value."""
    write_csv([*device_rows(1), "press-9,symmetricKey,a,b"])

    [(line, _, message)] = faults(run_cli, "devices.csv")

    assert (line, message) == (3, "has 4 cells, the header has 3")


@pytest.mark.parametrize("name", ["tab", r"\t", "\t"])
def test_delimiters_have_names(run_cli: Run, name: str) -> None:
    """A delimiter is a character, or the name that `check` prints."""
    Path("a.csv").write_text("registrationId\tattestation.type\npress-1\tsymmetricKey\n")

    ran = run_cli("check", "a.csv", "--delimiter", name)

    assert (ran.code, "delimiter tab" in ran.err) == (0, True)
    assert run_cli("check", "a.csv", "--delimiter", "tabs").code == 2


UNMAPPED = (
    "is not a member of a record; map it with --column 'Serial=PATH', or ignore it with --column"
    " 'Serial='"
)


@pytest.mark.parametrize(
    ("option", "column", "message"),
    [
        (
            "--column=Serial=regId",
            "Serial",
            "is mapped to 'regId', which is not a member of a record",
        ),
        ("--set=foo.bar=1", "--set foo.bar", "is not a member of a record"),
        ("--set=status=1", "Serial", UNMAPPED),
        (
            "--column=Serial=registrationId",
            "attestation.type",
            "has no column; add it, or set it for all rows with --set attestation.type=symmetricKey",
        ),
    ],
)
def test_faults_of_the_header_say_what_to_do(
    run_cli: Run, option: str, column: str, message: str
) -> None:
    """A fault of the header names the option that is wrong, or the one that is missing."""
    write_csv(["press-1"], header="Serial")

    found = {name: text for _, name, text in faults(run_cli, "devices.csv", option)}

    assert found[column] == message


def test_a_value_without_a_column(run_cli: Run) -> None:
    """A value in a column without a name is a fault; an empty one, as spreadsheets add, is not."""
    write_csv(
        ["p-1,symmetricKey,,x", "p-2,symmetricKey,,"], header="registrationId,attestation.type,,"
    )

    assert faults(run_cli, "devices.csv") == [(2, "", "has a value in column 4, which has no name")]


def test_a_delete_needs_only_ids(run_cli: Run) -> None:
    """For a delete other columns, known or not, are not read."""
    write_csv(["press-1,x,y"], header="registrationId,attestation.type,Remark")

    assert run_cli("check", "devices.csv").code == 1
    assert run_cli("check", "devices.csv", "--mode", "delete").code == 0


def test_a_delete_by_two_columns(run_cli: Run) -> None:
    """Two columns for the id are a fault for a delete, too: which record is meant is unknown."""
    write_csv(["a-1,b-1"], header="registrationId,RegistrationId")

    assert run_cli("check", "devices.csv", "--mode", "delete").code == 1


@pytest.mark.parametrize("mode", ["create", "delete"])
def test_a_delimiter_that_is_not_found(run_cli: Run, mode: str) -> None:
    """A header with one column that has a delimiter of another kind names the option for it."""
    Path("a.csv").write_text("registrationId|attestation.type\npress-1|symmetricKey\n")

    ran = run_cli("check", "a.csv", "--mode", mode)

    assert (ran.code, "name the delimiter with --delimiter" in ran.out) == (1, True)


def test_a_directory_is_no_file(run_cli: Run) -> None:
    """A directory is a usage error, for each verb that reads or writes a file."""
    calls = (("check", "."), ("plan", ".", "--mode", "create"), ("apply", ".", "--mode", "create"))

    assert [run_cli(*call).code for call in calls] == [2, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps({"mode": "create", "enrollments": [{}]}), id="bulk"),
        pytest.param(json.dumps({"registrationId": "press-1"}, indent=1), id="pretty"),
    ],
)
def test_one_json_object(run_cli: Run, text: str) -> None:
    """A file with a bulk request, or with one object over several lines, is no table."""
    Path("a.json").write_text(text)

    ran = run_cli("check", "a.json")

    assert ran.code == 2
    assert "The file is one JSON object" in ran.err


CERTIFICATE = secret_factory.certificate("press-1")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(CERTIFICATE, None, id="pem"),
        pytest.param("".join(CERTIFICATE.splitlines()[1:-1]), None, id="base64"),
        pytest.param(CERTIFICATE.replace("\n", " "), None, id="spaces"),
        pytest.param(CERTIFICATE[:200], "must be one X.509 certificate", id="cut-off"),
        pytest.param(
            CERTIFICATE.replace("\n", r"\n"), "must be one X.509 certificate", id="escaped"
        ),
        pytest.param(CERTIFICATE * 2, "must be one X.509 certificate", id="chain"),
        pytest.param("press-1.pem", "must be one X.509 certificate", id="file"),
        pytest.param(CERTIFICATE + "-----BEGIN PRIVATE KEY-----", "has a private key", id="key"),
    ],
)
def test_certificates_are_parsed(run_cli: Run, text: str, fault: str | None) -> None:
    """A cell for a certificate has one, as PEM or base64, and no private key."""
    path = "attestation.x509.clientCertificates.primary.certificate"
    write_csv([f'press-1,x509,"{text}"'], header=f"registrationId,attestation.type,{path}")

    found = faults(run_cli, "devices.csv")

    assert [(column, message[: len(fault or "")]) for _, column, message in found] == (
        [(path, fault)] if fault else []
    )


def test_a_new_record_needs_its_certificate(run_cli: Run) -> None:
    """The `info` of a certificate, as DPS returns it, is not enough to create a record."""
    path = "attestation.x509.clientCertificates.primary.info.sha1Thumbprint"
    write_csv(["press-1,x509,AB12"], header=f"registrationId,attestation.type,{path}")

    ran = [run_cli("check", "devices.csv", "--mode", mode) for mode in ("create", "update")]

    assert [r.code for r in ran] == [1, 0]
    assert "certificate" in ran[0].out


A, B = (json.dumps({"registrationId": id, "attestation": {"type": "symmetricKey"}}) for id in "ab")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[{A}][{B}]", "follows the end of the array"),
        (f"[{A}, oops]", "is not JSON from here on"),
        (f"[{A} {B}]", "must be followed by a comma or ]"),
        (f"[{A},]", "is not JSON from here on"),
        (f"[{A},", "the array is not closed"),
        (f"[{A}", "the array is not closed"),
        (f"[{A}, {'[' * 100_000}", "is not JSON from here on"),
    ],
)
def test_an_array_is_complete(run_cli: Run, text: str, message: str) -> None:
    """What is no JSON array, or no complete one, is a fault: no record of it is left out."""
    Path("a.json").write_text(text)

    assert faults(run_cli, "a.json") == [(1, "", message)]


def test_an_array_over_several_blocks(run_cli: Run) -> None:
    """Every item of an array is read, wherever a block of the file ends, with its line."""
    Path("a.json").write_text("[\n" + ",\n".join(_record(n) for n in range(30_000)) + "\n]")

    ran = run_cli("check", "a.json", "--json")

    assert (ran.json["rows"], ran.json["faults"]) == (30_000, 1)
    assert json.loads(ran.out.splitlines()[0])["line"] == 29_992


def _record(number: int) -> str:
    """Returns a record with 100 characters; that of one number has a fault."""
    kind = "x" if number == 29_990 else "symmetricKey"
    return f'{{"registrationId": "press-{number:07}", "attestation": {{"type": "{kind}"}}}}'.ljust(
        100
    )


@pytest.mark.parametrize(
    "start",
    ['# a comment, with a " quote\n', '"# quoted, by a spreadsheet"\n', "#\n\n", "sep=,\n"],
)
def test_lines_before_the_header(run_cli: Run, start: str) -> None:
    """Comments before the header are not read as CSV, and the lines of faults are right."""
    Path("a.csv").write_text(start + "registrationId,attestation.type\npress-1,x\n")

    [(line, column, _)] = faults(run_cli, "a.csv")

    assert (line, column) == (start.count("\n") + 2, "attestation.type")


def test_a_separator_line_with_a_tab(run_cli: Run) -> None:
    """The delimiter that `sep=` names may be a tab."""
    Path("a.csv").write_text("sep=\t\nregistrationId\tattestation.type\nt-1\tsymmetricKey\n")

    assert run_cli("check", "a.csv").code == 0


def test_a_first_column_with_a_mark(run_cli: Run) -> None:
    """A header whose first column is not read, because its name begins with #, is a header."""
    write_csv(["1,press-1,symmetricKey"], header="#Nr,registrationId,attestation.type")

    assert run_cli("check", "devices.csv", "--json").json["rows"] == 1


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    "row", ["press-1,symmetricKey,{0},{0}", "press-1|symmetricKey|{0}", "'{0}'"]
)
def test_keys_in_place_of_a_header_are_masked(run_cli: Run, row: str, size: int) -> None:
    """Keys of a file without a header are not printed as names of columns."""
    key = secret_factory.symmetric_key(size)
    Path("a.csv").write_text(row.format(key) + "\n")

    ran = run_cli("check", "a.csv")

    assert (ran.code, key in ran.out + ran.err) == (1, False)


def test_keys_in_place_of_ids_are_masked(run_cli: Run) -> None:
    """A key in the column of the id, as where columns are shifted, is not printed."""
    key = secret_factory.symmetric_key(64)
    write_csv([f"{key},symmetricKey,x"])

    ran = [run_cli("check", "devices.csv"), run_cli("check", "devices.csv", "--json")]

    assert [(r.code, key in r.out + r.err) for r in ran] == [(1, False)] * 2


def test_long_names_of_columns_are_printed(run_cli: Run) -> None:
    """The name of a column is not taken for a key because it is long."""
    write_csv(["x"], header="SerialNumberOfTheControllerBoardInTheMachine1")

    assert "SerialNumberOfTheControllerBoardInTheMachine1" in run_cli("check", "devices.csv").out


def test_a_constant_beside_a_column_of_json(run_cli: Run) -> None:
    """A value of --set is added to an object that a cell has."""
    write_csv(
        ['p-1,symmetricKey,"{""b"": 1}"'],
        header="registrationId,attestation.type,initialTwin.tags:json",
    )

    ran = run_cli("check", "devices.csv", "--set", "initialTwin.tags.plant=007")

    assert ran.code == 0


@pytest.mark.parametrize("encoding", ["hex", "rot13", "zlib", "none"])
def test_encodings_that_are_none(run_cli: Run, encoding: str) -> None:
    """A codec that is not of texts is refused."""
    write_csv(device_rows(1))

    assert run_cli("check", "devices.csv", "--encoding", encoding).code == 2
