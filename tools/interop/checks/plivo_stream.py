"""Plivo's own stream SDK, unchanged: servers built on it, called by `voxline call`."""

import asyncio
import contextlib

import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from harness import FIRST, same, until, voxline, within
from plivo_stream import PlivoFastAPIStreamingHandler
from plivo_stream.websockets import PlivoWebsocketStreamingHandler


CLOSED = ("ConnectionClosedOK", "WebSocketDisconnect")


@contextlib.asynccontextmanager
async def world():
    yield None


class Echo:
    """What a server does on the SDK: says back what it hears, marks the first of it, and clears once."""

    def __init__(self):
        self.played, self.cleared, self.errors, self.media, self.disconnected = [], 0, [], 0, False

    def attach(self, handler):
        @handler.on_start
        async def on_start(_event):
            # Nothing is queued yet, so nothing is lost.
            await handler.send_clear_audio()

        @handler.on_media
        async def on_media(event):
            self.media += 1
            await handler.send_media(event.get_raw_media())
            if self.media == 1:
                await handler.send_checkpoint("first words")

        @handler.on_played_stream
        async def on_played(event):
            self.played.append(event.name)

        @handler.on_cleared_audio
        async def on_cleared(_event):
            self.cleared += 1

        @handler.on_error
        async def on_error(error):
            # What is sent while the call is being hung up meets a closed link. The SDK over FastAPI reads on for ever
            # after that unless it is stopped.
            if type(error).__name__ in CLOSED:
                await handler.stop()
            else:
                self.errors.append(error)

        @handler.on_disconnected
        async def on_disconnected():
            self.disconnected = True

    async def check(self, port):
        said = await voxline("call", f"ws://127.0.0.1:{port}/stream", "--say", FIRST, "--seed", "1", seconds=40)
        await until(lambda: self.disconnected, "the end of the stream")
        words = [line.removeprefix("words") for line in said.splitlines() if line.startswith("words")]
        same(" ".join(words), FIRST)
        assert self.played == ["first words"], self.played
        assert self.cleared == 1, self.cleared
        assert not self.errors, self.errors


@contextlib.asynccontextmanager
async def listening(app):
    """A FastAPI application on a port of this machine."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, "the server listening")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await within(10, "the server ended", serving)


async def check_sdk_over_fastapi_hears_and_speaks(_world):
    echo, app = Echo(), FastAPI()

    @app.websocket("/stream")
    async def stream(websocket: WebSocket):
        handler = PlivoFastAPIStreamingHandler(websocket)
        echo.attach(handler)
        await handler.start()

    async with listening(app) as port:
        await echo.check(port)


async def check_sdk_over_websockets_hears_and_speaks(_world):
    echo = Echo()

    async def stream(websocket):
        handler = PlivoWebsocketStreamingHandler()
        echo.attach(handler)
        await handler.handle(websocket)

    async with websockets.serve(stream, "127.0.0.1", 0) as server:
        await echo.check(server.sockets[0].getsockname()[1])
