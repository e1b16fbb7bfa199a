"""The kinds of keys a user may have, apart from how they are made: naming them needs no cryptography."""

from typing import Final

SSH: Final = "ssh"
X509: Final = "x509"
