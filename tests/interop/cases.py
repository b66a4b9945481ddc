"""What holds for every provider, whoever signs and whatever client carries the request.

A provider's class says how its official SDK signs and verifies; from that, `ProviderCases` makes one test per case and
sender, so that a report names both: `test_tampered_by_curl_http2`.
"""

import secrets
import time
import unittest

import resigned
from inside import ANSWER_BODY, ANSWER_HEADER, Inside
from message import Message, Reply
from relay import Relay, Route
from senders import Sender, all_senders

HOUR = 3600
# Below the default limit of 1 MiB, above every buffer and flow-control window on the way.
LARGE = 900_000
# Stands in every body so that a tampered one differs in a way an attacker would like.
AMOUNT, MORE = b"1000", b"9000"
# What can happen to a request in which no time is signed.
UNTIMED = ("genuine", "large", "rotated", "again", "tampered", "stranger")


class ProviderCases:
    """Mixed into a `unittest.TestCase` for each provider."""

    route: Route
    content_type = "application/json"
    cases = (*UNTIMED, "stale", "ahead")

    # Set by the run before the first test.
    relay: Relay
    inside: Inside
    genuine = 0

    def body(self, unique: str, size: int) -> bytes:
        """A body that holds `unique` and `AMOUNT`, at least `size` bytes long."""
        raise NotImplementedError

    def sign(self, secret: str, body: bytes, at: int, unique: str) -> Message:
        """The request as the provider would send it, signed by its SDK."""
        raise NotImplementedError

    def accepts(self, secret: str, message: Message) -> bool:
        """What the SDK's own verifier says."""
        raise NotImplementedError

    def tamper(self, request: Message) -> Message:
        return request.with_body(request.body.replace(AMOUNT, MORE))

    def __init_subclass__(cls, **arguments):
        super().__init_subclass__(**arguments)
        if issubclass(cls, unittest.TestCase):
            for case in cls.cases:
                for sender in all_senders():
                    setattr(cls, f"test_{case}_by_{sender.name}", _bound(case, sender))

    # The cases.

    def case_genuine(self, sender: Sender):
        self.goes_in(sender, self.request(), key="current")

    def case_large(self, sender: Sender):
        self.goes_in(sender, self.request(size=LARGE), key="current")

    def case_rotated(self, sender: Sender):
        self.goes_in(sender, self.request(secret=self.route.previous), key="previous")

    def case_again(self, sender: Sender):
        """A replay of a delivered request is told that all is well, and goes nowhere."""
        request = self.request()
        self.goes_in(sender, request, key="current")
        before = len(self.inside.received())
        reply = self.sent(sender, request)
        self.assertEqual((reply.status, self.outcome(reply)), (200, ("duplicate", None)))
        self.assertEqual(len(self.inside.received()), before, "a replay reached the internal server")

    def case_tampered(self, sender: Sender):
        request = self.request()
        tampered = self.tamper(request)
        self.assertNotEqual(tampered, request)
        self.stays_out(sender, tampered, {"signature_mismatch", "body_digest_mismatch"})

    def case_stranger(self, sender: Sender):
        self.stays_out(sender, self.request(secret=self.a_secret()), {"signature_mismatch"})

    def case_stale(self, sender: Sender):
        self.stays_out(sender, self.request(at=int(time.time()) - HOUR), {"timestamp_stale"})

    def case_ahead(self, sender: Sender):
        # Some SDKs let these pass, so theirs is not asked.
        self.refused(sender, self.request(at=int(time.time()) + HOUR), {"timestamp_ahead"})

    # `dmz-relay send` signs as the provider does: the SDK takes what the internal server got.
    def test_sent_by_the_relay_itself(self):
        body = self.body(secrets.token_hex(8), 0)
        before = len(self.inside.received())
        self.sends(body)
        ProviderCases.genuine += 1
        new = self.inside.received()[before:]
        self.assertEqual(len(new), 1, "the internal server must get it once")
        self.assertEqual(new[0].body, body)
        self.assertTrue(self.accepts(self.route.current, new[0]), "the SDK refuses what the relay signed")

    # It also makes requests that must be refused, and is content when they are.
    def test_spoiled_by_the_relay_itself(self):
        before = len(self.inside.received())
        self.sends(self.body(secrets.token_hex(8), 0), "--tamper")
        if "stale" in self.cases:
            self.sends(self.body(secrets.token_hex(8), 0), "--stale")
        self.assertEqual(len(self.inside.received()), before, "a refused request reached the internal server")

    # A captured request is judged offline as it was when it came.
    def test_captured_and_verified_offline(self):
        genuine = self.request()
        stranger = self.request(secret=self.a_secret())
        for request, code in ((genuine, 0), (self.tamper(genuine), 1), (stranger, 1)):
            done = self.relay.verify(self.route.name, request)
            self.assertEqual(done.returncode, code, (done.stdout + done.stderr).decode(errors="replace"))

    def sends(self, body: bytes, *arguments: str):
        done = self.relay.send(self.route.name, body, *self.send_arguments(), *arguments)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr).decode(errors="replace"))

    def send_arguments(self) -> tuple[str, ...]:
        return ("--header", f"Content-Type: {self.content_type}")

    # What they are made of.

    @classmethod
    def a_secret(cls) -> str:
        """A secret in the provider's form that no route knows."""
        raise NotImplementedError

    def request(self, secret: str | None = None, size: int = 0, at: int | None = None) -> Message:
        unique = secrets.token_hex(8)
        body = self.body(unique, size)
        self.assertGreaterEqual(len(body), size)
        return self.sign(secret or self.route.current, body, int(time.time()) if at is None else at, unique)

    def goes_in(self, sender: Sender, request: Message, key: str):
        """200, and the internal server has it byte for byte and can prove it again."""
        secret = self.route.current if key == "current" else self.route.previous
        before = len(self.inside.received())
        reply = self.sent(sender, request)
        self.assertEqual((reply.status, self.outcome(reply)), (200, ("delivered", None)))
        ProviderCases.genuine += 1
        new = self.inside.received()[before:]
        self.assertEqual(len(new), 1, "the internal server must get it once")
        self.same(request, new[0])
        self.assertEqual(new[0].values("Relay-Route"), [self.route.name])
        self.assertEqual(new[0].values("Relay-Provider"), [self.route.provider])
        self.assertEqual(new[0].values("Relay-Key"), [self.route.ids[key != "current"]])
        self.assertEqual(new[0].values("X-Request-Id"), [reply.request_id])
        self.assertTrue(self.accepts(secret, new[0]), "the SDK refuses what the internal server received")
        if self.route.inside:
            resigned.check(self, new[0], self.route.inside)
        self.assertNotIn(ANSWER_HEADER.lower(), reply.headers)
        self.assertNotIn(ANSWER_BODY, reply.body)

    def sent(self, sender: Sender, request: Message) -> Reply:
        reply = sender.send(self.relay.destination, request)
        self.assertEqual(reply.version, sender.version)
        return reply

    def same(self, sent: Message, received: Message):
        self.assertEqual((received.method, received.target), (sent.method, sent.target))
        self.assertTrue(received.body == sent.body, f"{len(sent.body)} bytes became {len(received.body)} others")
        for name, value in sent.headers:
            self.assertEqual(received.values(name), [value], name)

    def stays_out(self, sender: Sender, request: Message, reasons: set[str]):
        """401, and the SDK would not have taken it either."""
        self.assertFalse(self.accepts(self.route.current, request), "the SDK takes what must be refused")
        self.refused(sender, request, reasons)

    def refused(self, sender: Sender, request: Message, reasons: set[str]):
        before = len(self.inside.received())
        reply = self.sent(sender, request)
        self.assertEqual(reply.status, 401)
        outcome, reason = self.outcome(reply)
        self.assertEqual(outcome, "refused")
        self.assertIn(reason, reasons)
        self.assertEqual(len(self.inside.received()), before, "a refused request reached the internal server")
        # The sender learns nothing of the reason.
        self.assertNotIn(reason.encode(), reply.body)

    def outcome(self, reply: Reply) -> tuple[str, str | None]:
        """Outcome and reason as the log tells them."""
        line = self.relay.event(lambda line: line.get("event") == "request" and line["request_id"] == reply.request_id)
        self.assertEqual((line["route"], line["status"]), (self.route.name, reply.status))
        return line["outcome"], line.get("reason")


def _bound(case: str, sender: Sender):
    def test(self):
        getattr(self, f"case_{case}")(sender)

    return test
