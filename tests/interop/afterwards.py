"""What the run as a whole left behind, once the relay was asked to stop."""

import unittest

from cases import ProviderCases


class Afterwards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.exit_code = ProviderCases.relay.stop()

    def test_the_relay_stopped_as_asked(self):
        self.assertEqual(self.exit_code, 0)

    def test_the_internal_server_got_the_genuine_requests_and_nothing_else(self):
        self.assertEqual(len(ProviderCases.inside.received()), ProviderCases.genuine)

    def test_the_log_has_no_errors(self):
        bad = [line for line in ProviderCases.relay.events() if line.get("level", "error") == "error"]
        # The pool's word for an idle connection that it found busy; it opens another, and the request does not notice.
        self.assertEqual([line for line in bad if line.get("target") != "pingora_core::connectors"], [])

    def test_the_log_has_no_secret(self):
        log = ProviderCases.relay.log()
        self.assertEqual([secret for secret in ProviderCases.relay.secrets if secret in log], [])
