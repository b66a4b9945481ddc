"""SDKs that only verify: `dmz-relay send` signs, the relay forwards, and the SDK judges what the internal server got.

Where an SDK signs as well, its class adds `sign` and `Signing`, and its requests go through the relay too.
"""

import base64
import json
import secrets
from collections.abc import Mapping

from cases import AMOUNT, ProviderCases
from message import Message
from relay import Route

# The host of every URL that is signed.
ORIGIN = "https://public.example.test"


def text_secret() -> str:
    return secrets.token_hex(20)


def whsec() -> str:
    """The form of secret that Standard Webhooks knows."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


class Verifying(ProviderCases):
    """Mixed into a `unittest.TestCase` for each SDK."""

    cases = ()
    # What the SDK wants in a body beside an amount.
    document: Mapping = {"type": "payment.created"}

    # Made of `sign`, which these lack.
    test_captured_and_verified_offline = None
    test_sent_by_the_relay_itself = None

    a_secret = staticmethod(text_secret)

    def verify(self, secret: str, message: Message):
        """Calls the SDK. False or any exception means refused."""
        raise NotImplementedError

    def accepts(self, secret: str, message: Message) -> bool:
        try:
            return self.verify(secret, message) is not False
        except Exception:  # Each SDK has its own; that the same call succeeds on a genuine request is tested beside it.
            return False

    def body(self, unique: str, size: int) -> bytes:
        return json.dumps({"id": unique, "amount": 1000, **self.document, "note": "n" * size}).encode()

    def test_the_sdk_takes_what_the_relay_signed(self):
        body = self.body(secrets.token_hex(8), 0)
        self.assertIn(AMOUNT, body)
        before = len(self.inside.received())
        self.sends(body)
        ProviderCases.genuine += 1
        new = self.inside.received()[before:]
        self.assertEqual(len(new), 1, "the internal server must get it once")
        # Not `accepts`, so that a failure shows what the SDK said.
        self.assertIsNot(self.verify(self.route.current, new[0]), False, "the SDK refuses what the relay signed")
        self.assertFalse(self.accepts(self.route.current, self.tamper(new[0])), "the SDK takes a changed body")
        self.assertFalse(self.accepts(self.route.previous, new[0]), "the SDK takes another secret")


class Signing(Verifying):
    """SDKs that sign, without a time that a test could choose."""

    cases = ("genuine", "tampered", "stranger")

    test_captured_and_verified_offline = ProviderCases.test_captured_and_verified_offline


def url(message: Message) -> str:
    """The public URL of a request."""
    return ORIGIN + message.target


def headers(message: Message) -> dict[str, str]:
    """The headers as the frameworks hand them out, by names in lower case."""
    return {name.lower(): value for name, value in message.headers}


def route(provider: str, secret=text_secret, lines: str = "") -> Route:
    return Route(f"sdk-{provider}", provider, secret(), secret(), lines)


def route_with_url(provider: str, secret=text_secret) -> Route:
    return route(provider, secret, f'public_url = "{ORIGIN}"')
