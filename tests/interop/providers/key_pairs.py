"""Providers that sign with a private key; the SDK, like the relay, has the public one only."""

import base64
import unittest

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from message import Message
from relay import KeyRoute
from verifying import Verifying, headers


def _ed25519() -> str:
    return _pem(ed25519.Ed25519PrivateKey.generate())


def _p256() -> str:
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def _pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(pem: str):
    return load_pem_private_key(pem.encode(), None).public_key()


def _raw(pem: str) -> bytes:
    return _public(pem).public_bytes(Encoding.Raw, PublicFormat.Raw)


def _der(pem: str) -> str:
    """As SendGrid shows it."""
    return base64.b64encode(_public(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _route(provider: str, make, shown) -> KeyRoute:
    current, previous = make(), make()
    return KeyRoute(f"sdk-{provider}", provider, current, previous, public=(shown(current), shown(previous)))


class _ByKeyPair(Verifying):
    def send_arguments(self):
        return (*super().send_arguments(), "--private-key", str(self.relay.secret(self.route.name)))


class Discord(_ByKeyPair, unittest.TestCase):
    route = _route("discord", _ed25519, lambda pem: _raw(pem).hex())
    a_secret = staticmethod(_ed25519)
    document = {"type": 2, "token": "t"}

    def verify(self, secret, message: Message):
        from discord_interactions import verify_key

        stamp = message.value("X-Signature-Timestamp")
        return verify_key(message.body, message.value("X-Signature-Ed25519"), stamp, _raw(secret).hex())


class SendGrid(_ByKeyPair, unittest.TestCase):
    route = _route("sendgrid", _p256, _der)
    a_secret = staticmethod(_p256)

    def verify(self, secret, message: Message):
        from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

        return EventWebhook(_der(secret)).verify_signature(
            message.body.decode(),
            message.value(EventWebhookHeader.SIGNATURE),
            message.value(EventWebhookHeader.TIMESTAMP),
        )


class Telnyx(_ByKeyPair, unittest.TestCase):
    route = _route("telnyx", _ed25519, lambda pem: base64.b64encode(_raw(pem)).decode())
    a_secret = staticmethod(_ed25519)

    def verify(self, secret, message: Message):
        from telnyx import Telnyx as Client

        key = base64.b64encode(_raw(secret)).decode()
        Client(api_key="none").webhooks.unwrap(message.body.decode(), headers=headers(message), key=key)
