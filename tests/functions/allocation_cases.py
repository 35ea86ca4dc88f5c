"""Policies of a webhook, and DPS's questions to it."""

from collections.abc import Callable

import httpx

from tests.shared.allocation.asking import GROUP, HUB_1, HUB_2, HUB_3, body

Start = Callable[..., httpx.Client]
"""Starts the app with policies, and with settings if any; gives a client of it."""

POLICIES = {
    "default": {
        "rules": [
            {
                "name": "stay",
                "when": {"currentHub": {"linked": True}},
                "hub": {"keep": True},
            },
            {
                "name": "north",
                "when": {"payload.region": {"in": ["se", "no"]}},
                "hub": HUB_3,
                "initialTwin": {"tags": {"region": "${payload.region}"}},
                "payload": {"tier": "north"},
            },
            {
                "name": "stolen",
                "when": {"registrationId": {"matches": "stolen-.*"}},
                "reject": "reported stolen",
            },
        ],
        "otherwise": {"hub": {"hash": {}}},
    },
    "only-hub-1": {"rules": [{"name": "one", "hub": HUB_1}]},
    "sticky": {"python": "shared.allocation.policies:sticky"},
}

INITIAL = body(payload={"region": "se"})
REPROVISION = body(
    currentIotHubHostName=HUB_2, currentDeviceId="dev-1", payload={"firmware": "12.0.2.5"}
)
API_2019 = body(
    group={name: GROUP[name] for name in ("enrollmentGroupId", "attestation", "etag")},
    hubs=(HUB_2,),
    currentIotHubHostName=HUB_2,
)
