"""The tiny Linux guest: Debian's kernel, busybox, and one script that reads the config drive and says what it does."""

from novaflow.virt.guest.build import COMMAND_LINE, GuestFiles, build_guest

__all__ = ["COMMAND_LINE", "GuestFiles", "build_guest"]
