"""A guest's TCP connection as asyncio's servers know connections: bytes to the protocol, the protocol's bytes to the guest."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from novaflow.virt.wire.conversation import Conversation
from novaflow.virt.wire.frames import HOPS

HIGH_WATER: Final = 64 * 1024  # bytes that wait for the guest before the protocol is asked to pause


class GuestTransport(asyncio.Transport):
    """Its `hops` are those of whatever is sent from now on. `send` has the conversation's segments put on the wire."""

    def __init__(
        self,
        server_id: str,
        conversation: Conversation,
        protocol: asyncio.Protocol,
        send: Callable[["GuestTransport"], None],
    ) -> None:
        super().__init__()
        self.server_id = server_id  # whose guest it is
        self.conversation = conversation
        self.hops = HOPS
        self.is_paused = False
        self.owes_answer = False  # the guest has said something since the protocol has
        self.written_at = 0.0  # by the loop's clock
        self._protocol = protocol
        self._send = send
        self._is_closing = False
        self._is_full = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Nothing once it closes."""
        if self._is_closing:
            return
        self.owes_answer, self.written_at = False, asyncio.get_running_loop().time()
        self.conversation.write(bytes(data))
        self._send(self)
        self.flow()

    def has_answered(self, now: float, grace: float) -> bool:
        """Has a guest that says nothing more got all it asked for, and has nothing been added in the last `grace` seconds?"""
        talk = self.conversation
        return talk.has_end and not self.owes_answer and not talk.unsent and now - self.written_at > grace

    def flow(self) -> None:
        """Tell the protocol when the guest falls behind, and when it has caught up."""
        is_full = self.conversation.unsent > HIGH_WATER
        if is_full != self._is_full:
            self._is_full = is_full
            (self._protocol.pause_writing if is_full else self._protocol.resume_writing)()

    def get_write_buffer_size(self) -> int:
        """What waits for the guest."""
        return self.conversation.unsent

    def is_closing(self) -> bool:
        """No more is written."""
        return self._is_closing

    def close(self) -> None:
        """Once everything is sent."""
        if not self._is_closing:
            self._is_closing = True
            self.conversation.close()
            self._send(self)

    def pause_reading(self) -> None:
        """What the guest says meanwhile it must say again."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Go on."""
        self.is_paused = False

    def is_reading(self) -> bool:
        """Whether the protocol takes what the guest says."""
        return not (self.is_paused or self._is_closing)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on this one."""
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError("bytes come by data_received alone")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        """Whose connection it is."""
        return self._protocol

    def abort(self) -> None:
        """At once."""
        self._is_closing = True
        self.conversation.give_up()
        self._send(self)
