"""The log: no secret leaves, whoever writes it."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from shared.redaction import RedactingFormatter, redact_logs, redacted
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
    """What a handler of the root logger writes."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def test_every_handler_of_the_root_logger_hides_secrets(output: StringIO):
    """Other libraries' lines and stack traces go through the same formatter."""
    redact_logs()
    redact_logs()

    try:
        int(f"SharedAccessKey={SECRET}")
    except ValueError:
        logging.getLogger("azure.identity").exception("sig=%s", SECRET)

    assert "ValueError" in output.getvalue()
    assert SECRET not in output.getvalue()


def test_formatter_keeps_the_form_of_the_handler():
    """A handler's own format is kept."""
    formatter = RedactingFormatter(logging.Formatter("%(levelname)s %(message)s"))
    record = logging.LogRecord("n", logging.INFO, "p", 1, "sig=%s", (SECRET,), None)

    assert formatter.format(record) == "INFO sig=****"
