"""The log: no secret leaves, whoever writes it."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from shared.redaction import RedactingFilter, redact_logs, redacted
from tests.secret_factory import symmetric_key

SECRET = symmetric_key()

LINES = {
    "connection string": "HostName=h;SharedAccessKeyName=n;SharedAccessKey={}",
    "signature": "Authorization: SharedAccessSignature sr=h&sig={}&se=1&skn=n",
    "token": "'Authorization': 'Bearer {}'",
    "function key": "GET /enrollments/a?code={}&api-version=1",
    "function key header": "{{'x-functions-key': '{}'}}",
    "identity header": '"X-IDENTITY-HEADER": "{}"',
    "json": '{{"primaryKey": "{}"}}',
    "python": "{{'secondaryKey': '{}'}}",
    "json in json": '{{"body": "{{\\"primaryKey\\": \\"{}\\"}}"}}',
    "json in json of .NET": '{{"body": "{{\\u0022primaryKey\\u0022:\\u0022\\u002B{}\\u0022}}"}}',
    "plus as .NET writes it": '{{"primaryKey":"a\\u002B{}"}}',
    "slash as PHP writes it": '{{"primaryKey":"a\\/{}"}}',
    "url as .NET writes it": "https://a/?x=1\\u0026code={}",
    "environment": "AZURE_CLIENT_SECRET={}",
    "storage": "AccountName=a;AccountKey={};EndpointSuffix=b",
    "url in a url": "redirect=https%3A%2F%2Fh%2F%3Fcode%3D{}",
    "signature in a url": "token=SharedAccessSignature%20sr%3Dh%26sig%3D{}",
    "token answer": '{{"access_token": "{}", "expires_on": 1}}',
    "header as a tuple": "('x-functions-key', '{}')",
    "header as bytes": "(b'x-functions-key', b'{}')",
    "python's spelling": "primary_key='{}'",
    "spaces": "SharedAccessKey = {}",
    "private key": "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_secret_is_hidden(line: str):
    """Whatever form a secret comes in, it is not in the line."""
    assert SECRET not in redacted(line.format(SECRET))


@pytest.mark.parametrize("text", ["\\" * 10**5, "primaryKey=" + "x" * 10**6])
def test_long_text_takes_time_in_proportion(text: str):
    """A sender may choose what an operator's listing looks through: it ends."""
    assert len(redacted(text)) <= len(text)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=x, GET /a?api-version=1 in 7 ms",
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=****, GET /a?api-version=1 in 7 ms",
        ),
        ("Custom allocation failed with status code: 400", None),
        ("error code=400004, design: done", None),
    ],
)
def test_rest_of_the_line_stays(line: str, kept: str | None):
    """What is no secret can still be read."""
    assert redacted(line) == (kept or line)


@pytest.fixture
def output() -> Iterator[StringIO]:
    """What a handler of the root logger writes, in a form of its own."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    redact_logs()
    redact_logs()
    yield written
    logging.getLogger().removeHandler(handler)


def filters_of(handler: logging.Handler) -> int:
    """How often a handler hides secrets."""
    return sum(isinstance(found, RedactingFilter) for found in handler.filters)


class Exporter(logging.Handler):
    """Reads the records themselves, as exporters of telemetry do."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the record."""
        self.records.append(record)

    def said(self) -> str:
        """All that can be read of them."""
        return str([(vars(record), record.exc_info) for record in self.records])


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """An exporter at the root logger."""
    handler = Exporter()
    logging.getLogger().addHandler(handler)
    redact_logs()
    yield handler
    logging.getLogger().removeHandler(handler)


def log_failure(text: str, *arguments: object) -> None:
    """Logs an exception with a text of its own."""
    try:
        int(text)
    except ValueError:
        logging.getLogger("azure.identity").exception("sig=%s", *arguments)


def test_every_handler_of_the_root_logger_hides_secrets(output: StringIO):
    """In other libraries' lines and in stack traces, once for each handler."""
    log_failure(f"SharedAccessKey={SECRET}", SECRET)

    assert "ValueError" in output.getvalue()
    assert SECRET not in output.getvalue()
    assert set(map(filters_of, logging.getLogger().handlers)) <= {0, 1}


def test_form_of_the_handler_is_kept(output: StringIO):
    """What is hidden is the secret, and nothing around it."""
    logging.getLogger().error("sig=%s", SECRET)

    assert output.getvalue() == "ERROR sig=****\n"


def test_exporter_of_records_gets_no_secret(exporter: Exporter):
    """Neither in the message nor its arguments, the exception or what came as `extra`."""
    log_failure(f"SharedAccessKey={SECRET}", SECRET)
    logging.getLogger().error("x", extra={"headers": {"x-functions-key": SECRET}}, stack_info=True)

    assert len(exporter.records) == 2
    assert SECRET not in exporter.said()


def test_exporter_gets_an_exception_without_a_secret(exporter: Exporter):
    """Telemetry shows it with its type and its place."""
    log_failure("seven", "")

    assert isinstance((exporter.records[0].exc_info or [None, None])[1], ValueError)


def test_extra_that_is_a_secret_by_its_name_is_hidden(exporter: Exporter):
    """An attribute of telemetry may be nothing but the key."""
    logging.getLogger().error("x", extra={"x-functions-key": SECRET, "primary_key": SECRET})

    assert SECRET not in exporter.said()


class Unspeakable:
    """What has no text."""

    def __str__(self) -> str:
        raise LookupError(SECRET)


@pytest.mark.parametrize(
    "argument", [SECRET, float("inf"), Unspeakable()], ids=["type", "size", "text"]
)
def test_line_whose_arguments_do_not_fit_is_told_without_them(
    output: StringIO, capsys: pytest.CaptureFixture[str], *, argument: object
):
    """`logging` would print them on stderr; and who logs is not disturbed."""
    logging.getLogger().error("%d devices", argument, extra={"found": argument})

    assert output.getvalue() == "ERROR %d devices (its arguments do not fit it)\n"
    assert SECRET not in capsys.readouterr().err
