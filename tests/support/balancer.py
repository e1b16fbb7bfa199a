"""What stands before several instances of a service: one address, whose connections go to each of them in turn."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

_CHUNK = 65536


@asynccontextmanager
async def balanced(ports: Sequence[int]) -> AsyncIterator[int]:
    """A port of loopback that leads to `ports` in turn, passing over those where nobody listens."""
    turns = itertools.cycle(ports)
    open_tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            for port in itertools.islice(turns, len(ports)):
                with suppress(ConnectionRefusedError):
                    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))
                    return
        except asyncio.CancelledError:
            pass  # the balancer is closed
        finally:
            writer.close()
            open_tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(open_tasks):
            task.cancel()
        if open_tasks:
            await asyncio.wait(open_tasks)
        await server.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # the other side learns it by the close
    finally:
        writer.close()
