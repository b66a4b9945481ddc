"""Providers that sign a time with the body: an HMAC or a digest, and the time beside it."""

import time
import unittest

from message import Message
from verifying import Verifying, headers, route, route_with_url, url


class Box(Verifying, unittest.TestCase):
    route = route("box")

    def send_arguments(self):
        # Not signed, but the SDK looks at them.
        fields = ("BOX-SIGNATURE-VERSION: 1", "BOX-SIGNATURE-ALGORITHM: HmacSHA256")
        return (*super().send_arguments(), *(word for field in fields for word in ("--header", field)))

    def verify(self, secret, message):
        from box_sdk_gen.managers.webhooks import WebhooksManager

        return WebhooksManager.validate_message(message.body.decode(), headers(message), secret)


class Cloudinary(Verifying, unittest.TestCase):
    route = route("cloudinary")

    def verify(self, secret, message):
        import cloudinary
        from cloudinary.utils import verify_notification_signature

        cloudinary.config(api_secret=secret)
        stamp, signature = message.value("X-Cld-Timestamp"), message.value("X-Cld-Signature")
        return verify_notification_signature(message.body.decode(), int(stamp), signature)


class ElevenLabs(Verifying, unittest.TestCase):
    route = route("elevenlabs")

    def verify(self, secret, message):
        from elevenlabs import ElevenLabs as Client

        signature = message.value("ElevenLabs-Signature")
        Client(api_key="none").webhooks.construct_event(message.body.decode(), signature, secret)


class HubSpotV3(Verifying, unittest.TestCase):
    """Signs as well, with any time."""

    route = route_with_url("hubspot-v3")
    cases = ("genuine", "tampered", "stranger", "stale")

    def sign(self, secret, body, at, unique):
        from hubspot.utils.signature import Signature

        stamp = str(at * 1000)
        where = url(Message("POST", self.route.path, (), body))
        signature = Signature.get_signature(secret, body.decode(), "v3", where, "POST", stamp)
        fields = (("X-HubSpot-Signature-v3", signature), ("X-HubSpot-Request-Timestamp", stamp))
        return Message("POST", self.route.path, (("Content-Type", self.content_type), *fields), body)

    def verify(self, secret, message):
        from hubspot.utils.signature import Signature

        return Signature.is_valid(
            message.value("X-HubSpot-Signature-v3"),
            secret,
            message.body.decode(),
            url(message),
            message.method,
            "v3",
            message.value("X-HubSpot-Request-Timestamp"),
        )


class Paddle(Verifying, unittest.TestCase):
    route = route("paddle")

    def verify(self, secret, message):
        from paddle_billing.Notifications import Secret, Verifier

        return Verifier(60).verify(_Request(message), Secret(secret))


class _Request:
    """A request as web frameworks have it."""

    def __init__(self, message):
        self.body = message.body
        self.headers = {"Paddle-Signature": message.value("Paddle-Signature")}


class Pusher(Verifying, unittest.TestCase):
    route = route("pusher")

    @property
    def document(self):
        return {"time_ms": int(time.time() * 1000), "events": []}

    def verify(self, secret, message):
        from pusher import Pusher as Client

        client = Client(app_id="1", key="none", secret=secret)
        return client.validate_webhook("none", message.value("X-Pusher-Signature"), message.body.decode()) is not None


class Retell(Verifying, unittest.TestCase):
    route = route("retell")

    def verify(self, secret, message):
        from retell import Retell as Client

        return Client(api_key="none").verify(message.body.decode(), secret, message.value("X-Retell-Signature"))


class Sinch(Verifying, unittest.TestCase):
    route = route("sinch-conversation")

    def verify(self, secret, message):
        from sinch.domains.conversation.sinch_events.v1 import ConversationSinchEvent

        event = ConversationSinchEvent(secret)
        return event.validate_authentication_header(headers(message), message.body)
