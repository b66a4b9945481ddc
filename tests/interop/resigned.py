"""What the relay signs anew toward the inside, checked as an application does: with the specification's libraries."""

import base64
import secrets
import unittest

import svix
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from message import Message

FIELDS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def new_secrets() -> tuple[str, ...]:
    """One in the form that libraries hand out, and one of plain bytes."""
    return ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), f"plain-bytes-{secrets.token_hex(12)}")


def check(test: unittest.TestCase, received: Message, known: tuple[str, ...]):
    """Any of the secrets proves it, no other does, and nothing of it can be changed."""
    headers = {name: received.value(name) for name in FIELDS}
    for secret in map(_as_a_library_has_it, known):
        Webhook(secret).verify(received.body, headers, json_parse=False)
        # Unlike the specification's own, this library has its other form of secret in base64 only.
        if isinstance(secret, str):
            svix.Webhook(secret).verify(received.body, headers)
    stranger = Webhook(secrets.token_bytes(32))
    with test.assertRaises(WebhookVerificationError):
        stranger.verify(received.body, headers, json_parse=False)
    for changed in (
        {**headers, "webhook-id": headers["webhook-id"] + "x"},
        {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)},
    ):
        with test.assertRaises(WebhookVerificationError):
            Webhook(known[0]).verify(received.body, changed, json_parse=False)
    with test.assertRaises(WebhookVerificationError):
        Webhook(known[0]).verify(received.body + b" ", headers, json_parse=False)


def _as_a_library_has_it(secret: str) -> str | bytes:
    return secret if secret.startswith("whsec_") else secret.encode()
