"""Fixtures that every test may ask for."""

pytest_plugins = [
    "tests.support.mariadb",
    "tests.support.rabbitmq",
    "tests.support.rabbitmq_cluster",
    "tests.support.cloud_records",
    "tests.support.stores",
]
