"""`explain`: which hub the allocation policy gives a device, and why."""

import asyncio
import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from cli.client import AppClient, Connection, open_client, parse_object
from cli.columns import insert
from cli.errors import CommandError
from cli.options import JsonOption, KeyOption, ProfileOption, UrlOption, find_connection, parse_tag
from cli.output import clean, print_json, print_note, print_table
from cli.profile import Profile
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, AllocationPolicy
from shared.errors import InvalidRequestError
from shared.json_documents import parse_json

Document = dict[str, Any]


def verb(
    device: Annotated[str, typer.Argument(metavar="ID", help="The device's registration id.")],
    *,
    group: Annotated[
        str | None, typer.Option("--group", help="Its enrollment group, if it has no enrollment.")
    ] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", help="What the device sends: JSON, or @FILE.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="NAME=VALUE", help="A tag instead of the enrollment's."),
    ] = None,
    hub: Annotated[
        list[str] | None,
        typer.Option("--hub", help="A linked hub. Default: the hubs of the enrollment."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Default: that of the enrollment's webhook.")
    ] = None,
    profile: ProfileOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Say which hub a device gets, by which rule, and what DPS does with its data."""
    given = _read_payload(payload) if payload else None
    app = find_connection(url, key, Profile.read(profile))
    question = _Question(
        device=device, group=group, payload=given, tags=tag or [], hubs=hub or [], policy=policy
    )
    answer = asyncio.run(question.ask(app))
    if json:
        print_json(answer)
    else:
        _print(answer)


def _read_payload(text: str) -> Any:
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return parse_json(content)
    except OSError as error:
        raise CommandError(f"The payload cannot be read: {error.strerror}.") from error
    except InvalidRequestError as error:
        raise CommandError(f"The payload {'; '.join(error.faults.values())}.") from None


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What DPS would ask the webhook for a device."""

    device: str
    group: str | None
    payload: Any
    tags: list[str]
    hubs: list[str]
    policy: str | None

    async def ask(self, app: Connection) -> Document:
        """Returns the app's explanation."""
        async with open_client(app) as client:
            record = await self._record(client)
            await self._note_what_differs(client, record)
            linked = self.hubs or record.get("iotHubs")
            if not linked:
                raise CommandError(
                    "The enrollment names no hubs, and the app cannot read which ones are linked"
                    " to DPS: name them with --hub."
                )
            question = {
                "enrollmentGroup" if self.group else "individualEnrollment": record,
                "deviceRuntimeContext": await _runtime_context(client, self.device, self.payload),
                "linkedHubs": linked,
            }
            name = quote(self.policy or _policy(record), safe="")
            response = await client.send("POST", f"/allocation/{name}/explain", document=question)
            return parse_object(response)

    async def _note_what_differs(self, client: AppClient, record: Document) -> None:
        """Prints where DPS would not ask this question."""
        policy = record.get("allocationPolicy")
        if policy != AllocationPolicy.CUSTOM:
            print_note(f"The allocationPolicy is {policy or 'not set'}: DPS calls no webhook.")
        if self.group and await client.find(INDIVIDUAL_ENROLLMENT, self.device):
            print_note("The device has an enrollment, which precedes its group: omit --group.")

    async def _record(self, client: AppClient) -> Document:
        """Returns the device's enrollment or group, with the tags."""
        kind = ENROLLMENT_GROUP if self.group else INDIVIDUAL_ENROLLMENT
        record = await client.find(kind, self.group or self.device)
        if record is None:
            advice = "" if self.group else "; name its group with --group"
            raise CommandError(
                f"DPS has no such {'group' if self.group else 'enrollment'}{advice}."
            )
        record.pop("registrationState", None)
        for tag in self.tags:
            insert(record, *parse_tag(tag))
        return record


async def _runtime_context(client: AppClient, device: str, payload: Any) -> Document:
    """Returns what DPS knows about the device: its id, its payload and its current hub."""
    state = await client.read(f"/registrations/{quote(device, safe='')}") or {}
    context = {"registrationId": device}
    current = {"currentIotHubHostName": state["assignedHub"]} if state.get("assignedHub") else {}
    return {**context, **current, **({} if payload is None else {"payload": payload})}


def _policy(record: Mapping[str, Any]) -> str:
    """Returns the policy that the webhook's URL names."""
    definition = record.get("customAllocationDefinition") or {}
    steps = urlsplit(str(definition.get("webhookUrl", ""))).path.strip("/").split("/")
    named = steps[-1] if "allocation" in steps[:-1] else ""
    return named or "default"


def _print(answer: Mapping[str, Any]) -> None:
    reply = answer.get("answer", {})
    hub = (reply.get("body") or {}).get("iotHubHostName")
    rule = answer.get("rule")
    by_rule = f" by rule '{rule}'" if rule else ""
    refusal = f": {reply.get('errorCode')} {reply.get('message')}"
    text = f"{hub or 'refused'}{by_rule}, policy {answer.get('policy')}{'' if hub else refusal}"
    typer.echo(clean(text))
    rows = [_row(rule) for rule in answer.get("rules") or ()]
    if rows:
        print_table(["Rule", "Result", "Why"], rows)
    typer.echo(clean(answer.get("dps", "")))
    for warning in answer.get("warnings") or ():
        print_note(f"Warning: {warning.get('place')} {warning.get('warning')}")


def _row(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    failed = rule.get("failed") or {}
    condition = f"{failed.get('fact')} {failed.get('operator')} {_json(failed.get('operand'))}"
    why = f"{condition}, but it is {_json(failed.get('value'))}" if failed else ""
    return str(rule.get("name")), str(rule.get("result")), why


def _json(value: Any) -> str:
    return json_module.dumps(value, ensure_ascii=False)
