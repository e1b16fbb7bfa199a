"""What the options of `novaflow bench` may be: callbacks of click options, which name the option in what they refuse."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from novaflow.lab.queue import sizes


def numbers(least: int, most: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """Whole numbers with commas between them become them in order, each once."""

    def read(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:  # noqa: ARG001
        try:
            found = sorted({int(part) for part in value.split(",")})
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a list of whole numbers like 1,16,64") from None
        for number in found:
            if not least <= number <= most:
                raise click.BadParameter(f"{number} is not from {least} to {most}")
        return tuple(found)

    return read


def body_size(ctx: click.Context, param: click.Parameter, value: str) -> int | str:  # noqa: ARG001
    """A number of bytes, or `nova`."""
    if value == sizes.NOVA:
        return value
    try:
        size = int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number of bytes nor {sizes.NOVA!r}") from None
    if not sizes.LEAST <= size <= sizes.MOST:
        raise click.BadParameter(f"{size} is not from {sizes.LEAST} to {sizes.MOST} bytes")
    return size


def names(
    own: str, known: Sequence[str]
) -> Callable[[click.Context, click.Parameter, str | None], tuple[str, ...] | None]:
    """Some of the known names with commas between them, or `all`. `own` is no news: it may be named to have nobody else."""

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:  # noqa: ARG001
        if value is None:
            return None
        found = [name.strip() for name in value.split(",")]
        if found == ["all"]:
            return tuple(known)
        for name in found:
            if name != own and name not in known:
                raise click.BadParameter(f"there is no {name!r}; there are {', '.join(known)}, and all")
        return tuple(dict.fromkeys(name for name in found if name != own))

    return read


def finite(ctx: click.Context, param: click.Parameter, value: float) -> float:  # noqa: ARG001
    """A number: what is none passes every comparison with the limits of a range."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number")
    return value


def output(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """A file that can be written, or `-`. Looked at before the work, not after it."""
    if value is None or value == "-":
        return value
    path = Path(value)
    if path.is_dir():
        raise click.BadParameter(f"{path} is a directory")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written")
    return value


def write(file: str, text: str) -> None:
    """Write what was asked for; `-` is standard output."""
    if file == "-":
        click.echo(text, nl=False)
    else:
        Path(file).write_text(text)
