"""The vendor's own clients against the simulated gateway: what they received is decoded, not assumed.

The packages are used as published. Their host names are built in, so this process resolves
`*.api.slng.ai` to a relay of its own, and trusts the certificate that the simulator made. The relay
passes bytes on, and cuts links when a check says so.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

BINARY = sys.argv[1]
ONLY = sys.argv[2:]
SCRATCH = tempfile.TemporaryDirectory(prefix="voxline-interop-")
DIR = Path(SCRATCH.name)
# Read when the clients make their TLS contexts.
os.environ["SSL_CERT_FILE"] = str(DIR / "ca.pem")
# The checks say what went wrong; Pipecat would say what went well.
os.environ.setdefault("LOGURU_LEVEL", "CRITICAL")

KEY = "slng_interop_key"
FIRST = "Your table is booked for Thursday at seven."
SECOND = "Shall I send you a message?"
LONG = "Take the second road on the left, then the first on the right, and go on until you see the sea."


class Relay:
    """Passes connections on to the simulator's TLS port; breaks them when told to."""

    def __init__(self, port):
        self.target = port
        self.opened = 0
        self.writers = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

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


def redirect(relay):
    """Sends the gateway's names to the relay, whatever the port."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith("api.slng.ai"):
            return resolve("127.0.0.1", relay.port, *args, **kwargs)
        return resolve(host, port, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def heard(pcm, rate):
    """The text in a sound, by the simulated recogniser: nothing but what really arrived."""
    path = DIR / "heard.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    command = [BINARY, "transcribe", str(path), "--simulate", "--speed", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return " ".join(done.stdout.split())


def sounding(text):
    """A text as a caller's sound: 16 kHz, 20 ms frames, with silence before and after."""
    path = DIR / "said.wav"
    command = [BINARY, "speak", text, "--simulate", "--rate", "16000", "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
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


# --- LiveKit ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def livekit_tts():
    import aiohttp
    from livekit.plugins import slng

    async with aiohttp.ClientSession() as http:
        tts = slng.TTS(api_key=KEY, model="deepgram/aura:2", voice="aura-2-thalia-en", http_session=http)
        yield tts
        await tts.aclose()


async def livekit_say(tts, text, on_audio=None):
    """What one stream says to the end, as the bytes that reached the application."""
    pcm = b""
    async with tts.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        async for event in stream:
            pcm += bytes(event.frame.data)
            if on_audio and not on_audio():
                break
    return pcm


async def check_livekit_synthesis(_relay):
    async with livekit_tts() as tts:
        same(heard(await livekit_say(tts, FIRST), 24000), FIRST)


async def check_livekit_interrupted_synthesis(_relay):
    async with livekit_tts() as tts:
        part = await livekit_say(tts, LONG, on_audio=lambda: False)
        assert len(part) < 48000 * 2, "the interrupted speech was made to its end"
        same(heard(await livekit_say(tts, SECOND), 24000), SECOND)


async def check_livekit_synthesis_over_a_cut_link(relay):
    """The client gives up speech that was half heard; its next speech is whole."""
    from livekit.agents import APIError

    async with livekit_tts() as tts:
        cuts = []

        def cut_once():
            if not cuts:
                cuts.append(relay.cut())
            return True

        begun = time.monotonic()
        with contextlib.suppress(APIError):
            await livekit_say(tts, LONG, on_audio=cut_once)
        assert cuts and time.monotonic() - begun < 20
        same(heard(await livekit_say(tts, SECOND), 24000), SECOND)


async def livekit_hear(frames, relay=None, cut_at=None):
    import aiohttp
    from livekit import rtc
    from livekit.agents import stt as speech
    from livekit.plugins import slng

    async with aiohttp.ClientSession() as http:
        engine = slng.STT(api_key=KEY, model="deepgram/nova:3", http_session=http)
        finals = []
        async with engine.stream() as stream:

            async def push():
                for number, frame in enumerate(frames):
                    if number == cut_at:
                        relay.cut()
                    stream.push_frame(rtc.AudioFrame(frame, 16000, 1, 320))
                    await asyncio.sleep(0.02)
                stream.end_input()

            pushing = asyncio.create_task(push())
            async for event in stream:
                if event.type == speech.SpeechEventType.FINAL_TRANSCRIPT:
                    finals.append(event.alternatives[0].text)
            await pushing
        return " ".join(finals)


async def check_livekit_utterance(_relay):
    same(await livekit_hear(sounding(FIRST)), FIRST)


async def check_livekit_utterance_over_a_cut_link(relay):
    frames = sounding(FIRST)
    before = relay.opened
    # The client replays what it sent, but not the up to 64 ms it was still gathering when the link
    # broke: one block of tonetext, two if they fall on a border.
    same_but_for_a_gap(await livekit_hear(frames, relay, len(frames) // 2), FIRST, 16)
    assert relay.opened > before + 1, "the client did not dial again"


# --- Pipecat ---------------------------------------------------------------------------------


class Call:
    """One service in a pipeline, and everything it pushed downstream."""

    def __init__(self, service):
        from pipecat.pipeline.pipeline import Pipeline
        from pipecat.pipeline.worker import PipelineParams, PipelineWorker
        from pipecat.processors.frame_processor import FrameProcessor
        from pipecat.workers.runner import WorkerRunner

        frames = self.frames = []

        class Collector(FrameProcessor):
            async def process_frame(self, frame, direction):
                await super().process_frame(frame, direction)
                frames.append(frame)
                await self.push_frame(frame, direction)

        params = PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=24000)
        pipeline = Pipeline([service, Collector()])
        self.worker = PipelineWorker(pipeline, params=params, cancel_on_idle_timeout=False, enable_rtvi=False)
        self.runner = WorkerRunner(handle_sigint=False)
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_started(_worker, _frame):
            self.started.set()

    async def __aenter__(self):
        await self.runner.add_workers(self.worker)
        self.running = asyncio.create_task(self.runner.run())
        await asyncio.wait_for(self.started.wait(), 20)
        return self

    async def __aexit__(self, *_error):
        from pipecat.frames.frames import EndFrame

        await self.worker.queue_frame(EndFrame())
        await asyncio.wait_for(self.running, 20)

    async def give(self, frame):
        await self.worker.queue_frame(frame)

    def of(self, kind):
        return [frame for frame in self.frames if isinstance(frame, kind)]

    async def until(self, kind, count=1, limit=20):
        give_up = time.monotonic() + limit
        while len(self.of(kind)) < count:
            assert time.monotonic() < give_up, f"no {kind.__name__} within {limit} s"
            await asyncio.sleep(0.02)

    def audio(self):
        from pipecat.frames.frames import TTSAudioRawFrame

        return b"".join(frame.audio for frame in self.of(TTSAudioRawFrame))


def pipecat_tts():
    from pipecat_slng import SlngTTSService

    return SlngTTSService(api_key=KEY, world_part="eu-west", voice="aura-2-thalia-en")


async def check_pipecat_synthesis(_relay):
    from pipecat.frames.frames import TTSSpeakFrame, TTSStoppedFrame

    async with Call(pipecat_tts()) as call:
        for turn, text in enumerate([FIRST, SECOND], 1):
            await call.give(TTSSpeakFrame(text))
            await call.until(TTSStoppedFrame, turn)
        same(heard(call.audio(), 24000), f"{FIRST} {SECOND}")


async def check_pipecat_interrupted_synthesis(_relay):
    from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame

    async with Call(pipecat_tts()) as call:
        await call.give(TTSSpeakFrame(LONG))
        await call.until(TTSAudioRawFrame)
        await call.give(InterruptionFrame())
        await asyncio.sleep(0.5)
        assert len(call.audio()) < 48000 * 3, "the interrupted speech was made to its end"
        call.frames.clear()
        await call.give(TTSSpeakFrame(SECOND))
        await call.until(TTSStoppedFrame)
        same(heard(call.audio(), 24000), SECOND)


async def check_pipecat_synthesis_over_a_cut_link(relay):
    """A link that is cut between two turns is replaced, and the next turn is whole."""
    from pipecat.frames.frames import TTSSpeakFrame, TTSStoppedFrame

    async with Call(pipecat_tts()) as call:
        await call.give(TTSSpeakFrame(FIRST))
        await call.until(TTSStoppedFrame)
        before = relay.opened
        relay.cut()
        await asyncio.sleep(3)
        call.frames.clear()
        await call.give(TTSSpeakFrame(SECOND))
        await call.until(TTSStoppedFrame)
        assert relay.opened > before, "the client did not dial again"
        same(heard(call.audio(), 24000), SECOND)


async def pipecat_hear(frames, relay=None, cut_at=None):
    from pipecat.frames.frames import InputAudioRawFrame, TranscriptionFrame, VADUserStoppedSpeakingFrame
    from pipecat_slng import SlngSTTService

    async with Call(SlngSTTService(api_key=KEY, world_part="eu-west")) as call:
        for number, frame in enumerate(frames):
            if number == cut_at:
                relay.cut()
                # Pipecat keeps no audio; what is said while it dials is lost by its own design.
                await asyncio.sleep(3)
            await call.give(InputAudioRawFrame(frame, 16000, 1))
            await asyncio.sleep(0.02)
        await call.give(VADUserStoppedSpeakingFrame())
        await call.until(TranscriptionFrame)
        await asyncio.sleep(0.5)
        return " ".join(frame.text for frame in call.of(TranscriptionFrame))


async def check_pipecat_utterance(_relay):
    same(await pipecat_hear(sounding(FIRST)), FIRST)


async def check_pipecat_utterance_over_a_cut_link(relay):
    before = relay.opened
    # The cut falls into the silence before the first word.
    same(await pipecat_hear(sounding(FIRST), relay, 10), FIRST)
    assert relay.opened > before + 1, "the client did not dial again"


# ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def simulator():
    command = [BINARY, "simulate", "slng", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]
    command += ["--tls-self-signed", str(DIR), "--key", KEY]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.search(r"wss://127\.0\.0\.1:(\d+)", line):
                yield int(found[1])
                return
        raise RuntimeError("the simulator did not start")
    finally:
        process.terminate()
        process.wait(10)


async def drive():
    failed = 0
    checks = [(name[6:], check) for name, check in globals().items() if name.startswith("check_")]
    checks = [named for named in checks if not ONLY or any(part in named[0] for part in ONLY)]
    with simulator() as port:
        relay = Relay(port)
        await relay.start()
        redirect(relay)
        for name, check in checks:
            begun = time.monotonic()
            try:
                # Not `wait_for`, which would wait for a client that does not let itself be cancelled.
                task = asyncio.create_task(check(relay))
                done, _ = await asyncio.wait({task}, timeout=60)
                if not done:
                    raise TimeoutError("not over after 60 s")
                task.result()
                verdict = "ok"
            except Exception as error:  # one check that fails must not hide the others
                verdict = f"FAILED: {type(error).__name__}: {error}"
                failed += 1
            print(f"{name.replace('_', ' '):<48} {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"interop {'FAILED' if failed else 'passed'}: {len(checks)} checks, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    status = asyncio.new_event_loop().run_until_complete(drive())
    SCRATCH.cleanup()
    sys.stdout.flush()
    os._exit(status)  # a check that hangs must not keep the process
