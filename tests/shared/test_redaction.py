"""Redaction: secrets in texts and in log records."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from shared.redaction import RedactingFilter, redact, redact_logs
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
    "password": "wifi_password: '{}'",
    "names of other services": "apiKey={0}; client-secret = {0}, sasToken: {0}",
    "names in a tuple": "('apiKey', '{}')",
    "user of a url": "amqps://app:{}@h/queue",
    "query of a url": "GET https://h/x?y={} in 7 ms",
    "fragment of a url": "https://h/x#{}",
    "url as PHP writes it": "https:\\/\\/h\\/?x={}",
    "basic": "Authorization: Basic {}",
    "alone": "the value {} is not valid",
    "in a path": "https://h/{}/x",
    "private key": "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_secret_is_masked(line: str) -> None:
    """A secret is masked in every form in which it may appear in a text."""
    assert SECRET not in redact(line.format(SECRET))


@pytest.mark.parametrize(
    "text",
    [
        *("\\" * 10**5, "primaryKey=" + "x" * 10**6, "token" + " " * 10**5, "eyJ" * 10**5),
        *("%2b" * 10**5 + "=", "\\u002b" * 10**5 + "=", "/\\" * 10**5 + "=", "://" * 10**5),
    ],
)
def test_long_text_is_redacted_in_linear_time(text: str) -> None:
    """Texts that a sender chooses cannot make redaction slow."""
    assert len(redact(text)) <= len(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=x, GET /a?api-version=1 in 7 ms",
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=****, GET /a?api-version=1 in 7 ms",
        ),
        ("Custom allocation failed with status code: 400", None),
        ("error code=400004, design: done", None),
        ("must have SharedAccessKeyName, SharedAccessKey", None),
        ("etag IjAxMDBhYmNkLTAwMDAtMGQwMC0wMDAwLTY1ZjAwMDAwMDAwMCI=, see https://h/x.", None),
        ("DPS_OPERATIONS_PER_MINUTE=1000, /attestation/symmetricKey/primaryKey is required", None),
    ],
)
def test_only_secrets_are_masked(line: str, expected: str | None) -> None:
    """The rest of the text is unchanged."""
    assert redact(line) == (expected or line)


@pytest.fixture
def output() -> Iterator[StringIO]:
    """The output of a handler of the root logger that has its own formatter."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    redact_logs()
    redact_logs()
    yield written
    logging.getLogger().removeHandler(handler)


def filter_count(handler: logging.Handler) -> int:
    """Returns how many redacting filters the handler has."""
    return sum(isinstance(item, RedactingFilter) for item in handler.filters)


class Exporter(logging.Handler):
    """A handler that reads the log records themselves, like telemetry exporters."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Stores the record."""
        self.records.append(record)

    def text(self) -> str:
        """Returns everything that the records contain."""
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
    """Logs an exception whose message contains the text."""
    try:
        int(text)
    except ValueError:
        logging.getLogger("azure.identity").exception("sig=%s", *arguments)


def test_every_handler_of_the_root_logger_masks_secrets(output: StringIO) -> None:
    """Messages of other libraries and stack traces are masked; each handler has one filter."""
    log_failure(f"SharedAccessKey={SECRET}", SECRET)

    assert "ValueError" in output.getvalue()
    assert SECRET not in output.getvalue()
    assert set(map(filter_count, logging.getLogger().handlers)) <= {0, 1}


def test_formatter_of_the_handler_is_kept(output: StringIO) -> None:
    """Only the secret is replaced in the handler's output."""
    logging.getLogger().error("sig=%s", SECRET)

    assert output.getvalue() == "ERROR sig=****\n"


def test_log_record_has_no_secret(exporter: Exporter) -> None:
    """Message, arguments, exception, stack and extra attributes are masked."""
    log_failure(f"SharedAccessKey={SECRET}", SECRET)
    logging.getLogger().error("x", extra={"headers": {"x-functions-key": SECRET}}, stack_info=True)

    assert len(exporter.records) == 2
    assert SECRET not in exporter.text()


def test_exception_without_a_secret_is_kept(exporter: Exporter) -> None:
    """An exporter gets the exception object if its text has no secret."""
    log_failure("seven", "")

    assert isinstance((exporter.records[0].exc_info or [None, None])[1], ValueError)


def test_extra_attribute_with_the_name_of_a_secret_is_masked(exporter: Exporter) -> None:
    """An attribute whose whole value is a key has no text around it to recognize."""
    logging.getLogger().error("x", extra={"x-functions-key": SECRET, "primary_key": SECRET})

    assert SECRET not in exporter.text()


class Unprintable:
    """An object whose `__str__` raises an exception that contains a secret."""

    def __str__(self) -> str:
        raise LookupError(SECRET)


@pytest.mark.parametrize(
    "argument", [SECRET, float("inf"), Unprintable()], ids=["type", "size", "text"]
)
def test_message_with_mismatched_arguments_is_logged_without_them(
    output: StringIO, capsys: pytest.CaptureFixture[str], *, argument: object
) -> None:
    """`logging` would print the arguments to stderr; the caller gets no exception."""
    logging.getLogger().error("%d devices", argument, extra={"value": argument})

    assert output.getvalue() == "ERROR %d devices (its arguments do not match the format)\n"
    assert SECRET not in capsys.readouterr().err
