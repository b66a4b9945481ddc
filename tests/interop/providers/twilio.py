"""Twilio: the public URL is signed, together with the form, or with a digest of a JSON body in the query.

There is no time in it. Inside, the application rebuilds the URL from the address it knows and the request line, as
Twilio's own middleware does.
"""

import hashlib
import json
import secrets
import unittest
from urllib.parse import parse_qsl, urlencode

from multidict import MultiDict
from twilio.request_validator import RequestValidator

from cases import UNTIMED, ProviderCases
from message import Message
from relay import Route
from senders import all_senders

ORIGIN = "https://public.example.test"


def _token() -> str:
    return secrets.token_hex(16)


def _route(name: str, more: str = "") -> Route:
    return Route(name, "twilio", _token(), _token(), f'public_url = "{ORIGIN}"\n{more}')


class _Twilio(ProviderCases):
    cases = UNTIMED
    a_secret = staticmethod(_token)

    def signed(self, secret: str, method: str, target: str, parameters: MultiDict | None, body: bytes) -> Message:
        signature = RequestValidator(secret).compute_signature(ORIGIN + target, parameters)
        return Message(method, target, (*self.type_header(), ("X-Twilio-Signature", signature)), body)

    def type_header(self) -> tuple[tuple[str, str], ...]:
        return (("Content-Type", self.content_type),)

    def parameters(self, body: bytes) -> MultiDict | str:
        """What an application hands to the SDK for this body."""
        return MultiDict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))

    def accepts(self, secret: str, message: Message) -> bool:
        signature = message.value("X-Twilio-Signature")
        return RequestValidator(secret).validate(ORIGIN + message.target, self.parameters(message.body), signature)


class Forms(_Twilio, unittest.TestCase):
    """An incoming message."""

    route = _route("twilio-forms")
    content_type = "application/x-www-form-urlencoded"

    def body(self, unique: str, size: int) -> bytes:
        # Not in order, one name twice, one value empty: the SDK sorts names and then values.
        fields = [("To", "+15550100"), ("MessageSid", f"SM{unique}"), ("Body", "Grüße & 1000 mehr" + "x" * size)]
        fields += [("MediaUrl", "b"), ("MediaUrl", "a"), ("From", "+15550199"), ("ForwardedFrom", "")]
        return urlencode(fields).encode()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        return self.signed(secret, "POST", self.route.path, self.parameters(body), body)

    def test_the_url_may_be_signed_with_its_port(self):
        body = self.body(secrets.token_hex(8), 0)
        signature = RequestValidator(self.route.current).compute_signature(
            f"{ORIGIN}:443{self.route.path}", self.parameters(body)
        )
        headers = (*self.type_header(), ("X-Twilio-Signature", signature))
        self.goes_in(all_senders()[0], Message("POST", self.route.path, headers, body), key="current")


class Documents(_Twilio, unittest.TestCase):
    """A JSON body."""

    route = _route("twilio-documents")

    def body(self, unique: str, size: int) -> bytes:
        return json.dumps({"sid": unique, "amount": 1000, "text": "t" * size}).encode()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        target = f"{self.route.path}?bodySHA256={hashlib.sha256(body).hexdigest()}&attempt=a%20b"
        return self.signed(secret, "POST", target, None, body)

    def parameters(self, body: bytes) -> MultiDict | str:
        return body.decode()


class Calls(_Twilio, unittest.TestCase):
    """A call whose settings ask for GET: everything stands in the query, and there is no body."""

    route = _route("twilio-calls")
    cases = tuple(case for case in UNTIMED if case != "large")

    def body(self, unique: str, size: int) -> bytes:
        return b""

    def type_header(self) -> tuple[tuple[str, str], ...]:
        return ()

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        target = f"{self.route.path}?CallSid=CA{unique}&Amount=1000&From=%2B15550199"
        return self.signed(secret, "GET", target, None, body)

    def send_arguments(self) -> tuple[str, ...]:
        return ("--method", "GET", "--path", f"{self.route.path}?CallSid=CA{secrets.token_hex(8)}&Amount=1000")

    def tamper(self, request: Message) -> Message:
        return request.with_target(request.target.replace("1000", "9000"))
