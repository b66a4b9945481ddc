"""What the two scanners found, in a few lines; exit code 1 where it is more than it may be.

    verdict.py SSLYZE.json LISTENER=TESTSSL.json...

Whether Mozilla's "intermediate" is kept to, sslyze says with its own exit code. But that is 0 as well where it scanned
nothing, and it says nothing of probes that Mozilla does not ask for: both are looked at here.
"""

import json
import sys
from collections import Counter
from pathlib import Path

# testssl's own scale. WARN is a fault of the scan, and an unscanned server is no good server.
HARMLESS = {"OK", "INFO", "LOW", "DEBUG"}

# Findings that belong to the scan and not to the relay.
EXPECTED = {
    ("engine_problem", "WARN"): "Debian's openssl has no GOST engine; testssl asks for GOST ciphers by socket",
    ("cert_revocation", "HIGH"): "the throw-away authority publishes neither a CRL nor OCSP, as a real one would",
    ("sessionresumption_ticket", "WARN"): "testssl's s_client closes before a ticket of TLS 1.3 has come; tests/relay/tls.rs",
}

# A scan that ended early would have no bad findings either. One of each part, and testssl's last word.
RAN = {
    "TLS1_2": "OK",
    "TLS1_3": "OK",
    "cipherlist_STRONG": "OK",
    "PFS": "OK",
    "cipher_order": "OK",
    "cert_chain_of_trust": "OK",
    "heartbleed": "OK",
    "ROBOT": "OK",
    "secure_client_renego": "OK",
    "RC4": "OK",
    "GREASE": "OK",
    "scanTime": "INFO",
}

# sslyze's probes, and what the answer must hold.
PROBES = {
    "heartbleed": {"is_vulnerable_to_heartbleed": False},
    "openssl_ccs_injection": {"is_vulnerable_to_ccs_injection": False},
    "robot": {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"},
    "session_renegotiation": {
        "is_vulnerable_to_client_renegotiation_dos": False,
        "supports_secure_renegotiation": True,
    },
    "tls_1_3_early_data": {"supports_early_data": False},
    "tls_compression": {"supports_compression": False},
    "tls_extended_master_secret": {"supports_ems_extension": True},
    "tls_fallback_scsv": {"supports_fallback_scsv": True},
}
VERSIONS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")


def sslyze(path: Path, targets: int) -> list[str]:
    problems = []
    results = json.loads(path.read_text())["server_scan_results"]
    if len(results) != targets:
        problems.append(f"sslyze: {len(results)} of {targets} listeners were scanned")
    for result in results:
        where = f"sslyze, port {result['server_location']['port']}"
        attempts = result["scan_result"] or {}
        for name in sorted({*PROBES, "certificate_info", "elliptic_curves", *(f"{v}_cipher_suites" for v in VERSIONS)}):
            attempt = attempts.get(name) or {"status": "missing", "error_reason": None}
            if attempt["status"] != "COMPLETED":
                problems.append(f"{where}: {name}: {attempt['status']} {attempt['error_reason'] or ''}")
                continue
            for key, wanted in PROBES.get(name, {}).items():
                if attempt["result"][key] != wanted:
                    problems.append(f"{where}: {name}: {key} is {attempt['result'][key]!r}, not {wanted!r}")
        spoken = []
        for version in VERSIONS:
            suites = ((attempts.get(f"{version}_cipher_suites") or {}).get("result") or {}).get("accepted_cipher_suites")
            spoken += [f"{version}: {suite['cipher_suite']['name']}" for suite in suites or []]
        print(f"{where}:", *spoken, sep="\n    ")
    return problems


def testssl(listener: str, path: Path) -> list[str]:
    where = f"testssl, {listener}"
    findings = json.loads(path.read_text())
    print(f"{where}: {dict(Counter(finding['severity'] for finding in findings))}")
    problems = []
    for finding in findings:
        # With two certificates, testssl numbers the findings about them: "cert_revocation <cert#1>".
        identity, severity = finding["id"].split(" ")[0], finding["severity"]
        line = f"{severity} {finding['id']}: {finding['finding']}"
        if severity in HARMLESS:
            if severity == "LOW":
                print(f"    {line}")
        elif (identity, severity) in EXPECTED:
            print(f"    {line} (expected: {EXPECTED[identity, severity]})")
        else:
            problems.append(f"{where}: {line}")
    for wanted, severity in RAN.items():
        seen = {finding["severity"] for finding in findings if finding["id"].split(" ")[0] == wanted}
        if severity not in seen:
            problems.append(f"{where}: {wanted} should be {severity} and is {', '.join(sorted(seen)) or 'missing'}")
    return problems


def main() -> int:
    first, *others = sys.argv[1:]
    problems = sslyze(Path(first), len(others))
    for other in others:
        listener, _, path = other.partition("=")
        problems += testssl(listener, Path(path))
    for problem in problems:
        print(f"NOT GOOD: {problem}")
    return 1 if problems else 0


sys.exit(main())
