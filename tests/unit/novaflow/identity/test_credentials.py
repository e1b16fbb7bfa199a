"""Where the services' credentials come from."""

from pathlib import Path

import pytest

from novaflow.errors import ServiceUnavailable
from novaflow.identity.credentials import SERVICE_FILE, SERVICE_PASSWORD, read


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVICE_PASSWORD, raising=False)


def test_the_file_says_who_the_services_are_and_the_environment_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SERVICE_FILE).write_text('{"username": "nova", "password": "from the file", "project": "service"}')

    assert read(tmp_path, "service").password == "from the file"
    monkeypatch.setenv(SERVICE_PASSWORD, "from outside")
    assert read(tmp_path, "service").password == "from outside"


@pytest.mark.parametrize("text", [None, "", "{}", "not JSON"])
def test_as_long_as_there_are_none_the_identity_service_counts_as_away(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / SERVICE_FILE).write_text(text)

    with pytest.raises(ServiceUnavailable):
        read(tmp_path, "service")


def test_a_password_never_shows(tmp_path: Path) -> None:
    (tmp_path / SERVICE_FILE).write_text('{"username": "nova", "password": "hidden", "project": "service"}')

    assert "hidden" not in repr(read(tmp_path, "service"))
