"""An authority and a certificate for the relay, made for one run and thrown away with its folder."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Reserved for tests (RFC 2606), so that it never resolves: every sender connects to an address and asks for this name.
HOST = "hooks.example.test"


@dataclass(frozen=True)
class Certificates:
    authority: Path
    chain: Path
    key: Path


def make(folder: Path) -> Certificates:
    authority, authority_key = folder / "authority.crt", folder / "authority.key"
    made = Certificates(authority, folder / "relay.crt", folder / "relay.key")
    _request(
        "/CN=dmz-relay interop authority", authority, authority_key,
        "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign",
    )
    _request(
        f"/CN={HOST}", made.chain, made.key,
        "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth", f"subjectAltName=DNS:{HOST}",
        signed_by=(authority, authority_key),
    )
    return made


def _request(subject: str, chain: Path, key: Path, *extensions: str, signed_by: tuple[Path, Path] | None = None):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "2", "-subj", subject, "-out", str(chain), "-keyout", str(key)]
    for extension in extensions:
        command += ["-addext", extension]
    if signed_by:
        command += ["-CA", str(signed_by[0]), "-CAkey", str(signed_by[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl could not make a certificate for {subject}:\n{done.stderr}")
