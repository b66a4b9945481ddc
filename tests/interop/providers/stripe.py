"""Stripe: time and signature share one header; the key is the secret's whole text."""

import json
import secrets
import unittest

import stripe

import resigned
from cases import ProviderCases
from message import Message
from relay import Route


def _secret() -> str:
    return f"whsec_{secrets.token_urlsafe(24)}"


class Events(ProviderCases, unittest.TestCase):
    route = Route("stripe", "stripe", _secret(), _secret(), inside=resigned.new_secrets())

    a_secret = staticmethod(_secret)

    def body(self, unique: str, size: int) -> bytes:
        charge = {"object": "charge", "amount": 1000, "description": "Café ☕ " + "x" * size}
        event = {"id": f"evt_{unique}", "object": "event", "type": "charge.succeeded", "data": {"object": charge}}
        return json.dumps(event, indent=2, ensure_ascii=False).encode()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        signature = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)
        headers = (("Content-Type", "application/json; charset=utf-8"), ("Stripe-Signature", signature))
        return Message("POST", self.route.path, headers, body)

    def accepts(self, secret: str, message: Message) -> bool:
        try:
            stripe.Webhook.construct_event(message.body, message.value("Stripe-Signature"), secret)
        except stripe.SignatureVerificationError:
            return False
        return True
