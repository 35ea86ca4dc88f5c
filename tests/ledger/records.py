"""Records as plans write them, and what becomes of one in the course of a story."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shared.dps.models import ENROLLMENT_GROUP, RecordKind
from tests import secret_factory
from tests.ledger.asked import Document, Key, Story, key_of

# Few: after the test each is looked for in all that was said.
_KEYS = _CERTIFICATES = 8


@cache
def _key_pairs() -> list[Mapping[str, str]]:
    make = secret_factory.symmetric_key
    return [{"primaryKey": make(), "secondaryKey": make()} for _ in range(_KEYS)]


@cache
def _certificates() -> list[str]:
    return [secret_factory.certificate(f"ledger-{n}") for n in range(_CERTIFICATES)]


@cache
def _endorsement_key() -> str:
    return secret_factory.endorsement_key()


@dataclass(kw_only=True)
class Thing:
    """A record that a story changes; `document` is how it stands, `None` if it is not there."""

    story: Story
    rng: random.Random
    kind: RecordKind
    id: str
    attestation: str = ""
    document: Document | None = None
    _given: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = ["symmetricKey"] * 8 + ["x509", "x509" if self._is_group else "tpm"]
        self.attestation = self.attestation or self.rng.choice(kinds)

    @property
    def key(self) -> Key:
        """What it is known by."""
        return key_of(self.kind, self.id)

    @property
    def _is_group(self) -> bool:
        return self.kind is ENROLLMENT_GROUP

    def is_there_before(self) -> None:
        """Lets the story begin with it."""
        self.write(self.next("before"))
        self.story.before[self.key] = self.document or {}

    def next(self, mark: str) -> dict[str, Any]:
        """A document for it that no other write has; most leave its keys alone."""
        return {
            self.kind.id_member: self.spelling(),
            "attestation": self._attestation(),
            "provisioningStatus": self.rng.choice(["enabled", "disabled"]),
            "initialTwin": {"tags": {"ledger": mark, "line": self.rng.randrange(100)}},
            "x-unknown": {"kept": [mark, None, {}]},
        }

    def spelling(self) -> str:
        """Its id in one of the cases that mean the same."""
        return self.id.upper() if self.rng.random() < 0.1 else self.id

    def write(self, document: Document) -> None:
        """Notes that it is to be as in `document`."""
        given = document["attestation"].get("symmetricKey")
        self._given = given or (self._given if self.document else {})
        self._stands(document)
        self.story.keys.pop(self.key, None)
        if self._given:
            self.story.keys[self.key] = self._given

    def delete(self) -> None:
        """Notes that it is to be gone."""
        self._stands(None)
        self.story.keys.pop(self.key, None)

    def might_be(self, document: Document) -> None:
        """Notes a state that it only takes if a message is applied where it should not be."""
        self.story.ever.setdefault(self.key, []).append(document)

    def _stands(self, document: Document | None) -> None:
        self.document = document
        self.story.after[self.key] = document
        self.story.ever.setdefault(self.key, []).append(document)

    def _attestation(self) -> dict[str, Any]:
        if self.attestation == "tpm":
            return {"type": "tpm", "tpm": {"endorsementKey": _endorsement_key()}}
        if self.attestation == "x509":
            use = "signingCertificates" if self._is_group else "clientCertificates"
            primary = {"certificate": self.rng.choice(_certificates())}
            return {"type": "x509", "x509": {use: {"primary": primary}}}
        if self.rng.random() < 0.3:
            return {"type": "symmetricKey", "symmetricKey": self.rng.choice(_key_pairs())}
        return {"type": "symmetricKey"}
