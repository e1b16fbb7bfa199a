# mypy: disable-error-code="import-not-found"
"""aio-pika's own patterns: RPC for calls, Master for casts, in their JSON variants, otherwise as they come."""

from typing import Any

from aio_pika import DeliveryMode, connect_robust
from aio_pika.patterns import JsonMaster, JsonRPC
from protocol import Board, ClientOrder, Payload, ServerOrder, run, send_all, until_terminated


async def serve(order: ServerOrder) -> None:
    """Answer calls, count casts."""
    board = Board(order.board)

    async def echo(*, payload: Payload) -> Payload:
        board.count(payload["number"])
        return payload

    async def work(*, payload: Payload) -> None:
        board.count(payload["number"])

    async with await connect_robust(order.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=order.prefetch)
        rpc = await JsonRPC.create(channel)
        await rpc.register(f"{order.queue}.call", echo, durable=order.durable, arguments=order.queue_arguments)
        master = JsonMaster(channel)
        await master.create_worker(f"{order.queue}.cast", work, durable=order.durable, arguments=order.queue_arguments)
        await until_terminated()


async def send(order: ClientOrder) -> None:
    """Call or cast."""
    async with await connect_robust(order.url) as connection:
        channel = await connection.channel()
        rpc = await JsonRPC.create(channel)
        master = JsonMaster(channel)
        master.DELIVERY_MODE = mode = DeliveryMode(order.delivery_mode)

        async def call(payload: Payload) -> Any:
            return await rpc.call(f"{order.queue}.call", {"payload": payload}, delivery_mode=mode)

        async def cast(payload: Payload) -> None:
            await master.create_task(f"{order.queue}.cast", {"payload": payload})

        await send_all(order, call if order.op == "call" else cast)


if __name__ == "__main__":
    run(serve, send)
