"""How each provider's official SDK signs a request, and what its own verifier says of one.

A module per provider where the SDK signs whatever a case asks for. SDKs of which a few lines are enough stand together
by what is signed or how: `bodies`, `fields`, `ids`, `key_pairs`, `times`, `tokens`.
"""

import unittest


def all_cases() -> list[type]:
    from providers import bodies, fields, ids, key_pairs, slack, standard_webhooks, stripe, svix, times, tokens, twilio

    modules = (bodies, fields, ids, key_pairs, slack, standard_webhooks, stripe, svix, times, tokens, twilio)
    return [case for module in modules for case in vars(module).values() if _is_case(case)]


def _is_case(case) -> bool:
    return isinstance(case, type) and issubclass(case, unittest.TestCase)
