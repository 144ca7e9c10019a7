"""Pipecat's Plivo serializer over FastAPI, unchanged: a pipeline that says back what it hears, called by `voxline call`."""

import asyncio

from checks.plivo_stream import listening, world
from fastapi import FastAPI, WebSocket
from harness import FIRST, same, voxline, within
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner


class Echo(FrameProcessor):
    """Turns what is heard into what is said."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(audio=frame.audio, sample_rate=frame.sample_rate, num_channels=1)
        await self.push_frame(frame, direction)


async def hold(websocket, calls):
    await websocket.accept()
    kind, call = await parse_telephony_websocket(websocket)
    calls.append((kind, call["stream_id"], call["call_id"]))
    # Without an account there is nobody to hang up.
    params = PlivoFrameSerializer.InputParams(auto_hang_up=False)
    serializer = PlivoFrameSerializer(call["stream_id"], call["call_id"], params=params)
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer)
    transport = FastAPIWebsocketTransport(websocket, params)
    rates = PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    worker = PipelineWorker(pipeline, params=rates, cancel_on_idle_timeout=False, enable_rtvi=False)

    @transport.event_handler("on_client_disconnected")
    async def on_disconnected(_transport, _websocket):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


async def check_serializer_hears_and_speaks(_world):
    app, calls, ended = FastAPI(), [], asyncio.Event()

    @app.websocket("/stream")
    async def stream(websocket: WebSocket):
        try:
            await hold(websocket, calls)
        finally:
            ended.set()

    async with listening(app) as port:
        said = await voxline("call", f"ws://127.0.0.1:{port}/stream", "--say", FIRST, seconds=40)
        await within(20, "the end of the pipeline", ended.wait())
    words = [line.removeprefix("words") for line in said.splitlines() if line.startswith("words")]
    same(" ".join(words), FIRST)
    assert [call[0] for call in calls] == ["plivo"] and calls[0][1] and calls[0][2], calls
