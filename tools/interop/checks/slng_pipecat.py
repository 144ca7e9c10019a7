"""Pipecat with the vendor's services, unchanged: TTS and STT in a pipeline."""

import asyncio

from harness import FIRST, KEY, LONG, SECOND, heard, same, slng, sounding, until, within
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner
from pipecat_slng import SlngSTTService, SlngTTSService

world = slng


class Collector(FrameProcessor):
    """Keeps every frame that comes down the pipeline."""

    def __init__(self):
        super().__init__()
        self.frames = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)


class Call:
    """One service in a pipeline, and everything it pushed downstream."""

    def __init__(self, service):
        self.collector = Collector()
        params = PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=24000)
        pipeline = Pipeline([service, self.collector])
        self.worker = PipelineWorker(pipeline, params=params, cancel_on_idle_timeout=False, enable_rtvi=False)
        self.runner = WorkerRunner(handle_sigint=False)
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_started(_worker, _frame):
            self.started.set()

    async def __aenter__(self):
        await self.runner.add_workers(self.worker)
        self.running = asyncio.create_task(self.runner.run())
        await within(20, "pipeline started", self.started.wait())
        return self

    async def __aexit__(self, *_error):
        await self.give(EndFrame())
        await within(20, "pipeline ended", self.running)

    async def give(self, frame):
        await self.worker.queue_frame(frame)

    def of(self, kind):
        return [frame for frame in self.collector.frames if isinstance(frame, kind)]

    async def until(self, kind, count=1):
        await until(lambda: len(self.of(kind)) >= count, kind.__name__)

    def audio(self):
        return b"".join(frame.audio for frame in self.of(TTSAudioRawFrame))

    def forget(self):
        self.collector.frames.clear()


def voice():
    return SlngTTSService(api_key=KEY, world_part="eu-west", voice="aura-2-thalia-en")


async def redialled(relay):
    """Cuts every link and waits for the next one, and for the pleasantries on it."""
    before = relay.opened
    relay.cut()
    await until(lambda: relay.opened > before, "another dial")
    await asyncio.sleep(0.5)


async def check_synthesis(_relay):
    async with Call(voice()) as call:
        for turn, text in enumerate([FIRST, SECOND], 1):
            await call.give(TTSSpeakFrame(text))
            await call.until(TTSStoppedFrame, turn)
        same(await heard(call.audio(), 24000), f"{FIRST} {SECOND}")


async def check_interrupted_synthesis(_relay):
    async with Call(voice()) as call:
        await call.give(TTSSpeakFrame(LONG))
        await call.until(TTSAudioRawFrame)
        await call.give(InterruptionFrame())
        # What was on its way when it was interrupted.
        await asyncio.sleep(0.5)
        assert len(call.audio()) < 48000 * 3, "the interrupted speech was made to its end"
        call.forget()
        await call.give(TTSSpeakFrame(SECOND))
        await call.until(TTSStoppedFrame)
        same(await heard(call.audio(), 24000), SECOND)


async def check_synthesis_over_a_cut_link(relay):
    """A link that is cut between two turns is replaced, and the next turn is whole."""
    async with Call(voice()) as call:
        await call.give(TTSSpeakFrame(FIRST))
        await call.until(TTSStoppedFrame)
        await redialled(relay)
        call.forget()
        await call.give(TTSSpeakFrame(SECOND))
        await call.until(TTSStoppedFrame)
        same(await heard(call.audio(), 24000), SECOND)


async def hear(frames, relay=None, cut_at=None):
    """The finals of one call that is given the frames in real time."""
    async with Call(SlngSTTService(api_key=KEY, world_part="eu-west")) as call:
        for number, frame in enumerate(frames):
            if number == cut_at:
                # Pipecat keeps no audio: what is said while it dials is lost by its own design.
                await redialled(relay)
            await call.give(InputAudioRawFrame(frame, 16000, 1))
            await asyncio.sleep(0.02)
        await call.give(VADUserStoppedSpeakingFrame())
        await call.until(TranscriptionFrame)
        # Another final would be one too many.
        await asyncio.sleep(0.5)
        return " ".join(frame.text for frame in call.of(TranscriptionFrame))


async def check_utterance(_relay):
    same(await hear(await sounding(FIRST)), FIRST)


async def check_utterance_over_a_cut_link(relay):
    # The cut falls into the silence before the first word.
    same(await hear(await sounding(FIRST), relay, 10), FIRST)
