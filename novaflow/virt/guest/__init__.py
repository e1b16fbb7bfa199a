"""The tiny Linux guest: Debian's kernel, busybox, and one script that reads the config drive and says what it does."""
