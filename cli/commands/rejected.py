"""`rejected`: list, replay and discard the messages that the app rejected."""

import asyncio
import json as json_module
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from cli.client import Connection, open_client, parse_object
from cli.errors import AppError, CommandError
from cli.exit_codes import ExitCode
from cli.options import JsonOption, KeyOption, ProfileOption, UrlOption, find_connection
from cli.output import clean, counted, print_json, print_note, print_table
from cli.profile import Profile
from shared.errors import InvalidRequestError
from shared.json_documents import parse_json

_PAGE = 100

verb = typer.Typer(
    help="List, replay and discard the messages that the app rejected.", no_args_is_help=True
)

QueueOption = Annotated[
    str | None, typer.Option("--queue", help="Default: the queue of rejected messages.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only with this reason.")]
IdOption = Annotated[str | None, typer.Option("--id", help="Only about this record.")]
AgeOption = Annotated[
    str | None,
    typer.Option("--older-than", help="Only older ones: a time or a duration (ISO 8601), as PT1H."),
]
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Its sequence number.")]


@verb.command("list")
def list_messages(
    *,
    queue: QueueOption = None,
    reason: ReasonOption = None,
    id: IdOption = None,
    older_than: AgeOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
    profile: ProfileOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """List rejected messages with their reasons; `--json` has their bodies, keys masked."""
    app = find_connection(url, key, Profile.read(profile))
    messages = asyncio.run(_list(app, _filter(queue, reason, id, older_than), limit))
    if json:
        for message in messages:
            print_json(message)
        return
    rows = [_row(message) for message in messages]
    print_table(["Number", "Rejected", "Reason", "Ids", "Description"], rows)
    print_note(counted(len(messages), "message"))


@verb.command()
def replay(
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="One message, by sequence number.")
    ] = None,
    *,
    patch: Annotated[
        str | None, typer.Option("--patch", help="A merge patch (JSON) for the message's body.")
    ] = None,
    all_messages: Annotated[
        bool, typer.Option("--all", help="All messages that the options select.")
    ] = False,
    queue: QueueOption = None,
    reason: ReasonOption = None,
    id: IdOption = None,
    older_than: AgeOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 100,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the messages, send none.")
    ] = False,
    profile: ProfileOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Send rejected messages back to the queues they came from: one, or `--all` of a selection."""
    if (number is None) != all_messages:
        raise CommandError("Name one message, or select some with --all and the options.")
    body: dict[str, Any] = {**_filter(queue, reason, id, older_than)}
    if number is not None and (dry_run or body.keys() - {"queue"}):
        raise CommandError("--dry-run and the conditions are for --all.")
    if all_messages and patch is not None:
        raise CommandError("--patch is for one message.")
    if number is not None:
        merge_patch = {"patch": _parse_patch(patch)} if patch else {}
        body = {"sequenceNumber": number, **merge_patch, **({"queue": queue} if queue else {})}
    else:
        body |= {"max": limit, "dryRun": dry_run}
    app = find_connection(url, key, Profile.read(profile))
    report = asyncio.run(_send(app, "POST", "/rejected/replay", body))
    _report(report, as_json=json, dry_run=dry_run)


@verb.command()
def discard(
    number: NumberArgument,
    *,
    queue: QueueOption = None,
    profile: ProfileOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Remove one rejected message for good."""
    app = find_connection(url, key, Profile.read(profile))
    query = f"?{urlencode({'queue': queue})}" if queue else ""
    _report(asyncio.run(_send(app, "DELETE", f"/rejected/{number}{query}")), as_json=json)


def _filter(
    queue: str | None, reason: str | None, id: str | None, older_than: str | None
) -> dict[str, str]:
    values = {"queue": queue, "reason": reason, "id": id, "olderThan": older_than}
    return {name: value for name, value in values.items() if value is not None}


def _parse_patch(text: str) -> Any:
    try:
        return parse_json(text.encode())
    except InvalidRequestError as error:
        faults = "; ".join(f"{at} {text}".strip() for at, text in error.faults.items())
        raise CommandError(f"The merge patch is not valid: {faults}.") from None


async def _list(app: Connection, condition: Mapping[str, str], limit: int) -> list[Any]:
    return [message async for message in _pages(app, condition, limit)]


async def _pages(
    app: Connection, condition: Mapping[str, str], limit: int
) -> AsyncIterator[dict[str, Any]]:
    start: int | None = 0
    async with open_client(app) as client:
        while start is not None and limit > 0:
            query = urlencode({**condition, "start": start, "top": min(limit, _PAGE)})
            page = await client.read(f"/rejected?{query}") or {}
            for message in _messages(page):
                yield message
                limit -= 1
            following = page.get("next")
            if isinstance(following, int) and following <= start:
                raise AppError("The pages of messages do not end: a position was returned twice.")
            start = following


def _messages(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = page.get("messages")
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return messages
    raise AppError("The response is not a page of rejected messages: check the URL.")


async def _send(app: Connection, method: str, path: str, document: Any = None) -> dict[str, Any]:
    content = None if document is None else json_module.dumps(document).encode()
    async with open_client(app) as client:
        # Not repeated: a message that is gone would look like one that never was.
        response = await client.send_once(method, path, content=content)
        return parse_object(response)


def _row(message: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    ids = message.get("ids")
    ids = ids if isinstance(ids, list) else []
    more = f" … {len(ids)}" if len(ids) > 1 else ""
    return (
        str(message.get("sequenceNumber")),
        f"{str(time)[:19]}Z" if (time := message.get("rejectedTimeUtc")) else "",
        str(message.get("reason") or ""),
        f"{ids[0]}{more}" if ids else "",
        str(message.get("description") or ""),
    )


def _report(report: Mapping[str, Any], *, as_json: bool, dry_run: bool = False) -> None:
    """Prints the outcome of each message; exits with 1 if some are left or failed."""
    numbers = report.get("sequenceNumbers") or []
    if as_json:
        print_json(report)
    elif dry_run:
        would_be = f"{counted(len(numbers), 'message')} would be replayed"
        typer.echo(": ".join([would_be, _text(numbers)] if numbers else [would_be]))
    else:
        for name, value in report.items():
            if value:
                typer.echo(clean(f"{name}: {_text(value)}"))
    if report.get("failed") or report.get("uncompleted") or report.get("stopped"):
        raise typer.Exit(ExitCode.FAULTS)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json_module.dumps(value)
