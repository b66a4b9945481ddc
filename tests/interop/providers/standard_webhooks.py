"""Standard Webhooks, by the specification's own library."""

import base64
import json
import secrets
import unittest
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from cases import ProviderCases
from message import Message
from relay import Route


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Messages(ProviderCases, unittest.TestCase):
    route = Route("standard-webhooks", "standard-webhooks", _secret(), _secret())

    a_secret = staticmethod(_secret)

    def body(self, unique: str, size: int) -> bytes:
        return json.dumps({"type": "user.created", "data": {"id": unique, "amount": 1000, "bio": "b" * size}}).encode()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        name = f"msg_{unique}"
        signature = Webhook(secret).sign(name, datetime.fromtimestamp(at, UTC), body.decode())
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", name),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", signature),
        )
        return Message("POST", self.route.path, headers, body)

    def accepts(self, secret: str, message: Message) -> bool:
        try:
            Webhook(secret).verify(message.body, dict(message.headers))
        except WebhookVerificationError:
            return False
        return True
