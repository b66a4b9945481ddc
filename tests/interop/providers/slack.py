"""Slack: `v0:time:body`, the same for JSON events and for the forms of slash commands."""

import json
import secrets
import unittest
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

import resigned
from cases import ProviderCases
from message import Message
from relay import Route


class _Slack(ProviderCases):
    @classmethod
    def a_secret(cls) -> str:
        return secrets.token_hex(16)

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        signature = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=body)
        headers = (
            ("Content-Type", self.content_type),
            ("X-Slack-Request-Timestamp", str(at)),
            ("X-Slack-Signature", signature),
        )
        return Message("POST", self.route.path, headers, body)

    def accepts(self, secret: str, message: Message) -> bool:
        return SignatureVerifier(secret).is_valid_request(message.body, dict(message.headers))


class Events(_Slack, unittest.TestCase):
    route = Route("slack-events", "slack", _Slack.a_secret(), _Slack.a_secret())

    def body(self, unique: str, size: int) -> bytes:
        event = {"type": "message", "text": "amount 1000 " + "t" * size}
        return json.dumps({"type": "event_callback", "event_id": f"Ev{unique}", "event": event}).encode()


class SlashCommands(_Slack, unittest.TestCase):
    route = Route(
        "slack-commands", "slack", _Slack.a_secret(), _Slack.a_secret(), inside=resigned.new_secrets()
    )
    content_type = "application/x-www-form-urlencoded"

    def body(self, unique: str, size: int) -> bytes:
        text = "1000 für Grüße & mehr " + "x" * size
        return urlencode({"command": "/pay", "text": text, "trigger_id": unique}).encode()
