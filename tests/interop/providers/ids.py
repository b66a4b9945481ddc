"""Providers that sign as Standard Webhooks or Svix do, each by its own SDK: id, time and body are signed."""

import unittest

from verifying import Verifying, headers, route, whsec


class _ById(Verifying):
    a_secret = staticmethod(whsec)


class DodoPayments(_ById, unittest.TestCase):
    route = route("dodo-payments", whsec)

    def verify(self, secret, message):
        from dodopayments import DodoPayments as Client

        Client(bearer_token="none").webhooks.unwrap(message.body.decode(), headers=headers(message), key=secret)


class Increase(_ById, unittest.TestCase):
    route = route("increase", whsec)

    def verify(self, secret, message):
        from increase import Increase as Client

        Client(api_key="none").events.unwrap(message.body.decode(), headers=headers(message), key=secret)


class Lithic(_ById, unittest.TestCase):
    route = route("lithic", whsec)

    def verify(self, secret, message):
        from lithic import Lithic as Client

        Client(api_key="none").webhooks.verify_signature(message.body, headers(message), secret=secret)


class OpenAI(_ById, unittest.TestCase):
    route = route("openai", whsec)

    def verify(self, secret, message):
        from openai import OpenAI as Client

        Client(api_key="none").webhooks.verify_signature(message.body, headers(message), secret=secret)


class Replicate(_ById, unittest.TestCase):
    route = route("replicate", whsec)

    def verify(self, secret, message):
        from replicate.webhook import Webhooks, WebhookSigningSecret

        return Webhooks.validate(
            headers=headers(message), body=message.body.decode(), secret=WebhookSigningSecret(key=secret), tolerance=300
        )


class Resend(_ById, unittest.TestCase):
    route = route("resend", whsec)

    def verify(self, secret, message):
        from resend import Webhooks

        known = headers(message)
        known = {name: known[f"svix-{name}"] for name in ("id", "timestamp", "signature")}
        Webhooks.verify({"payload": message.body.decode(), "headers": known, "webhook_secret": secret})
