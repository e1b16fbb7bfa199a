"""Fixtures that every test may ask for."""

from collections.abc import Generator

import pytest

pytest_plugins = [
    "tests.support.mariadb",
    "tests.support.rabbitmq",
    "tests.support.rabbitmq_cluster",
    "tests.support.cloud_records",
    "tests.support.stores",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What tests log and print may hold anything; between the processes of a test run only proper text travels."""
    report = yield
    report.sections = [(name, text.encode(errors="replace").decode()) for name, text in report.sections]
    return report
