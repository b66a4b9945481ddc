"""Svix: `svix-id`, `svix-timestamp`, `svix-signature`; the key is base64 behind `whsec_`."""

import base64
import json
import secrets
import unittest
from datetime import UTC, datetime

from svix.webhooks import Webhook, WebhookVerificationError

from cases import ProviderCases
from message import Message
from relay import Route


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


class Messages(ProviderCases, unittest.TestCase):
    route = Route("svix", "svix", _secret(), _secret())

    a_secret = staticmethod(_secret)

    def body(self, unique: str, size: int) -> bytes:
        return json.dumps({"type": "invoice.paid", "id": unique, "amount": 1000, "note": "n" * size}).encode()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        name = f"msg_{unique}"
        signature = Webhook(secret).sign(name, datetime.fromtimestamp(at, UTC), body.decode())
        headers = (
            ("Content-Type", "application/json"),
            ("svix-id", name),
            ("svix-timestamp", str(at)),
            # As while the sender rotates its secret, and beside a version that is not known here.
            ("svix-signature", f"v1a,AAAA v1,{base64.b64encode(bytes(32)).decode()} {signature}"),
        )
        return Message("POST", self.route.path, headers, body)

    def accepts(self, secret: str, message: Message) -> bool:
        try:
            Webhook(secret).verify(message.body, dict(message.headers))
        except WebhookVerificationError:
            return False
        return True
