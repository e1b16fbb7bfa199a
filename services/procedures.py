"""Every procedure of the cloud, found by its name."""

from rpc.procedure import Target


def procedures() -> dict[str, Target]:
    """The constants of novaflow.messages by name (`compute.stop_instance`), in the order of a boot."""
    # Imported on demand: most commands know no message.
    from novaflow import messages

    return {found.name: found for found in vars(messages).values() if isinstance(found, Target)}


def topics() -> list[str]:
    """Every topic that is served."""
    return list(dict.fromkeys(procedure.topic for procedure in procedures().values()))
