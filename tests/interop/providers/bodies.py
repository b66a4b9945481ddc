"""Providers that sign the body, alone or with the public URL: an HMAC in a header, without a time."""

import unittest

from verifying import Signing, Verifying, headers, route, route_with_url, url
from message import Message


class CoinbaseCommerce(Verifying, unittest.TestCase):
    route = route("coinbase-commerce")
    document = {"event": {"type": "charge:created"}}

    def verify(self, secret, message):
        from coinbase_commerce.webhook import Webhook

        Webhook.construct_event(message.body.decode(), message.value("X-CC-Webhook-Signature"), secret)


class EasyPost(Verifying, unittest.TestCase):
    route = route("easypost")

    def verify(self, secret, message):
        from easypost.util import validate_webhook

        validate_webhook(message.body, {"X-Hmac-Signature": message.value("X-Hmac-Signature")}, secret)


class GoCardless(Verifying, unittest.TestCase):
    route = route("gocardless")
    document = {"events": [{"id": "EV123"}]}

    def verify(self, secret, message):
        from gocardless_pro import webhooks

        webhooks.parse(message.body, secret, message.value("Webhook-Signature"))


class HubSpotV1(Signing, unittest.TestCase):
    route = route("hubspot-v1")

    def sign(self, secret, body, at, unique):
        from hubspot.utils.signature import Signature

        signature = Signature.get_signature(secret, body.decode(), "v1")
        fields = (("Content-Type", self.content_type), ("X-HubSpot-Signature", signature))
        return Message("POST", self.route.path, fields, body)

    def verify(self, secret, message):
        from hubspot.utils.signature import Signature

        signature = message.value("X-HubSpot-Signature")
        return Signature.is_valid(signature, secret, message.body.decode(), signature_version="v1")


class Line(Verifying, unittest.TestCase):
    route = route("line")
    document = {"events": [{"webhookEventId": "01H"}]}

    def verify(self, secret, message):
        from linebot.v3.webhook import SignatureValidator

        return SignatureValidator(secret).validate(message.body.decode(), message.value("X-Line-Signature"))


class ModernTreasury(Verifying, unittest.TestCase):
    route = route("modern-treasury")

    def verify(self, secret, message):
        from modern_treasury import ModernTreasury as Client

        client = Client(organization_id="none", api_key="none")
        return client.webhooks.validate_signature(message.body.decode(), headers(message), key=secret)


class Razorpay(Verifying, unittest.TestCase):
    route = route("razorpay")

    def verify(self, secret, message):
        import razorpay

        client = razorpay.Client(auth=("none", "none"))
        signature = message.value("X-Razorpay-Signature")
        return client.utility.verify_webhook_signature(message.body.decode(), signature, secret)


class Smartcar(Verifying, unittest.TestCase):
    route = route("smartcar")

    def verify(self, secret, message):
        import smartcar

        return smartcar.verify_payload(secret, message.value("SC-Signature"), message.body.decode())


class Square(Verifying, unittest.TestCase):
    route = route_with_url("square")

    def verify(self, secret, message):
        from square.utils.webhooks_helper import verify_signature

        return verify_signature(
            request_body=message.body.decode(),
            signature_header=message.value("x-square-hmacsha256-signature"),
            signature_key=secret,
            notification_url=url(message),
        )
