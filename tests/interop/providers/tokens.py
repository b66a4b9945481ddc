"""Providers that put a signed token (JWT) into a header, with a digest of the body in it."""

import hashlib
import unittest

from verifying import Verifying, route, route_with_url, url


class MessageBird(Verifying, unittest.TestCase):
    route = route_with_url("messagebird")

    def verify(self, secret, message):
        from messagebird.request_validator import RequestValidator

        token = message.value("MessageBird-Signature-JWT")
        RequestValidator(secret).validate_signature(token, url(message), message.body)


class Vonage(Verifying, unittest.TestCase):
    """Its library verifies the token and leaves the digest to the application."""

    route = route("vonage")

    def verify(self, secret, message):
        import jwt
        from vonage_jwt.verify_jwt import verify_signature

        token = message.value("Authorization").removeprefix("Bearer ")
        if not verify_signature(token, secret):
            return False
        claims = jwt.decode(token, options={"verify_signature": False})
        return claims["payload_hash"] == hashlib.sha256(message.body).hexdigest()
