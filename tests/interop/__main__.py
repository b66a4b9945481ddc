"""Official provider SDKs against the real relay: `python tests/interop --relay target/debug/dmz-relay`.

Starts an internal server and the relay, runs every case through every client, then stops the relay and looks at what
the run as a whole left behind. `.ci/interop-setup` makes the Python environment, `cargo test --test interop` runs it.
"""

import argparse
import sys
import tempfile
import unittest
from pathlib import Path

if sys.prefix != sys.base_prefix:
    # `-B` keeps compiled files out of the source tree; the SDKs are large, so theirs and ours are kept in the environment.
    sys.pycache_prefix, sys.dont_write_bytecode = str(Path(sys.prefix) / "compiled"), False

import certificates
from afterwards import Afterwards
from cases import ProviderCases
from inside import Inside
from providers import all_cases
from relay import Relay


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/interop", description=__doc__.splitlines()[0])
    parser.add_argument("--relay", type=Path, required=True, metavar="BINARY", help="the relay to test")
    parser.add_argument("-k", dest="patterns", action="append", metavar="TEXT", help="only tests whose name has this")
    parser.add_argument("-f", "--failfast", action="store_true", help="stop at the first failure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmz-relay-interop-") as folder:
        inside = Inside()
        relay = None
        try:
            routes = [case.route for case in all_cases()]
            made = certificates.make(Path(folder))
            relay = Relay(options.relay.resolve(strict=True), Path(folder), made, inside.url, routes)
            ProviderCases.inside, ProviderCases.relay = inside, relay
            runner = unittest.TextTestRunner(verbosity=2, failfast=options.failfast)
            return 0 if runner.run(_suite(options.patterns)).wasSuccessful() else 1
        finally:
            if relay:
                relay.stop()
            inside.close()


def _suite(patterns: list[str] | None) -> unittest.TestSuite:
    loader = unittest.TestLoader()
    # The last ones look at the whole run, so no pattern leaves them out.
    last = loader.loadTestsFromTestCase(Afterwards)
    loader.testNamePatterns = patterns and [f"*{pattern}*" for pattern in patterns]
    return unittest.TestSuite([*map(loader.loadTestsFromTestCase, all_cases()), last])


if __name__ == "__main__":
    sys.exit(main())
