"""Fixtures that every test may ask for."""

pytest_plugins = [
    "tests.support.mariadb",
    "tests.support.rabbitmq",
    "tests.support.cloud_records",
    "tests.support.stores",
]
