"""Providers that sign parts of the body, or put the signature into it."""

import json
import secrets
import unittest
from urllib.parse import parse_qs, urlencode

from message import Message
from relay import Route
from verifying import Signing, Verifying, route, route_with_url, text_secret, url

FORM = "application/x-www-form-urlencoded"


def _key() -> str:
    return secrets.token_hex(32)


class Adyen(Signing, unittest.TestCase):
    route = route("adyen", _key)
    a_secret = staticmethod(_key)

    def body(self, unique: str, size: int) -> bytes:
        item = {
            "pspReference": unique,
            "merchantAccountCode": "Shop",
            "merchantReference": "r" * size,
            "amount": {"value": 1000, "currency": "EUR"},
            "eventCode": "AUTHORISATION",
            "success": "true",
        }
        return json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}).encode()

    def sign(self, secret, body, at, unique):
        from Adyen.util import generate_notification_sig

        document = json.loads(body)
        item = document["notificationItems"][0]["NotificationRequestItem"]
        item["additionalData"] = {"hmacSignature": generate_notification_sig(item, secret).decode()}
        fields = (("Content-Type", self.content_type),)
        return Message("POST", self.route.path, fields, json.dumps(document).encode())

    def verify(self, secret, message):
        from Adyen.util import is_valid_hmac_notification

        return is_valid_hmac_notification(json.loads(message.body), secret)

    # The signature stands in the body, which `send` leaves as it is.
    test_the_sdk_takes_what_the_relay_signed = None
    test_spoiled_by_the_relay_itself = None


class Braintree(Signing, unittest.TestCase):
    route = Route("sdk-braintree", "braintree", text_secret(), text_secret(), ids=("public-key", "another"))
    content_type = FORM

    @staticmethod
    def _gateway(secret: str):
        import braintree

        return braintree.BraintreeGateway(
            braintree.Configuration(braintree.Environment.Sandbox, "merchant", "public-key", secret)
        )

    def body(self, unique: str, size: int) -> bytes:
        return unique.encode()

    def sign(self, secret, body, at, unique):
        import braintree

        kind = braintree.WebhookNotification.Kind.SubscriptionWentPastDue
        sample = self._gateway(secret).webhook_testing.sample_notification(kind, unique)
        return Message("POST", self.route.path, (("Content-Type", FORM),), urlencode(sample).encode())

    def tamper(self, request):
        return request.with_body(request.body.replace(b"bt_payload=", b"bt_payload=AAAA"))

    def verify(self, secret, message):
        form = parse_qs(message.body.decode())
        self._gateway(secret).webhook_notification.parse(form["bt_signature"][0], form["bt_payload"][0])

    # The payload is XML, which only the SDK makes.
    test_the_sdk_takes_what_the_relay_signed = None
    test_spoiled_by_the_relay_itself = None


class Plivo(Verifying, unittest.TestCase):
    route = route_with_url("plivo")
    content_type = FORM

    def body(self, unique: str, size: int) -> bytes:
        return urlencode({"To": "15550100", "From": "15550199", "Amount": "1000", "CallUUID": unique}).encode()

    def verify(self, secret, message):
        from plivo.utils import validate_v3_signature

        form = {name: values[0] for name, values in parse_qs(message.body.decode()).items()}
        nonce, signature = (message.value(f"X-Plivo-Signature-V3{end}") for end in ("-Nonce", ""))
        return validate_v3_signature(message.method, url(message), nonce, secret, signature, form)
