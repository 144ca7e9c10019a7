"""What checks share: the binary, a scratch folder, processes with limits, links to cut, ears to decode with."""

import asyncio
import contextlib
import os
import re
import socket
import tempfile
import time
import wave
from pathlib import Path

SCRATCH = tempfile.TemporaryDirectory(prefix="voxline-interop-")
DIR = Path(SCRATCH.name)
BINARY = os.environ["VOXLINE_BINARY"]
# Read when a client makes its TLS contexts, so it is set before any client is imported.
os.environ["SSL_CERT_FILE"] = str(DIR / "ca.pem")
# The checks say what went wrong; Pipecat would say what went well.
os.environ.setdefault("LOGURU_LEVEL", "CRITICAL")

KEY = "slng_interop_key"
FIRST = "Your table is booked for Thursday at seven."
SECOND = "Shall I send you a message?"
LONG = "Take the second road on the left, then the first on the right, and go on until you see the sea."


async def within(seconds, what, awaitable):
    """The result of `awaitable`, or a failure that says what did not come."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except (TimeoutError, asyncio.TimeoutError):
        raise AssertionError(f"{what} not within {seconds} s") from None


async def until(condition, what, seconds=20):
    """Waits for a condition that only this process can tell."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"{what} not within {seconds} s"
        await asyncio.sleep(0.02)


async def voxline(*args, seconds=60):
    """What a command of the binary prints; it must succeed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(BINARY, *args, stdout=pipe, stderr=pipe)
    try:
        out, err = await within(seconds, f"voxline {args[0]} ended", process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode in (0, 1), f"voxline {args[0]}: {err.decode()}"
    return out.decode()


@contextlib.asynccontextmanager
async def serving(*args, ready, seconds=20):
    """A server of the binary, and what the pattern `ready` finds in the words it starts with."""
    # A file rather than a pipe, which would stop the server once nobody reads it.
    log = DIR / f"{args[-1].strip('-')}-{time.monotonic_ns()}.log"
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(BINARY, *args, stderr=words)
    try:
        await until(lambda: re.search(ready, log.read_text()), f"voxline {args[0]} ready", seconds)
        yield re.search(ready, log.read_text())
    finally:
        if process.returncode is None:
            process.terminate()
        await within(10, f"voxline {args[0]} ended", process.wait())


class Relay:
    """Passes connections on to a port of this machine; breaks them when told to."""

    def __init__(self, port):
        self.target = port
        self.opened = 0
        self.writers = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        # Not `wait_closed`: a client that leaks a link would hold it up.
        self.server.close()
        self.cut()

    async def serve(self, reader, writer):
        self.opened += 1
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers |= {writer, there_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
        self.writers -= {writer, there_writer}

    def cut(self):
        """Resets every open link."""
        for writer in list(self.writers):
            writer.transport.abort()


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.contextmanager
def resolving(suffix, port):
    """Sends every host name that ends in `suffix` to a port of this machine, whatever port is asked for."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host, asked, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith(suffix):
            return resolve("127.0.0.1", port, *args, **kwargs)
        return resolve(host, asked, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


@contextlib.asynccontextmanager
async def slng():
    """The simulated SLNG gateway behind the vendor's own names, and the relay on the way to it."""
    args = ["simulate", "slng", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--key", KEY]
    args += ["--tls-self-signed", str(DIR)]
    async with serving(*args, ready=r"wss://127\.0\.0\.1:(\d+)") as found:
        async with Relay(int(found[1])) as relay:
            with resolving("api.slng.ai", relay.port):
                yield relay


async def heard(pcm, rate):
    """The text in a sound, by the simulated recogniser: nothing but what really arrived."""
    path = DIR / "heard.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return " ".join((await voxline("transcribe", str(path), "--simulate", "--speed", "16")).split())


async def sounding(text):
    """A text as a caller's sound: 16 kHz, 20 ms frames, with silence before and after."""
    path = DIR / "said.wav"
    await voxline("speak", text, "--simulate", "--rate", "16000", "-o", str(path))
    with wave.open(str(path)) as file:
        pcm = bytes(16000) + file.readframes(file.getnframes()) + bytes(32000)
    return [pcm[at : at + 640] for at in range(0, len(pcm) - 639, 640)]


def same(seen, expected):
    assert seen.split() == expected.split(), f"received {seen!r}, expected {expected!r}"


def same_but_for_a_gap(seen, expected, longest):
    """Equal, but for one gap of so many characters."""
    gap = len(expected) - len(seen)
    whole = any(expected[:at] + expected[at + gap :] == seen for at in range(len(seen) + 1))
    assert 0 <= gap <= longest and whole, f"received {seen!r}, expected {expected!r}"
