"""LiveKit's agents with the vendor's plugin, unchanged: TTS and STT streams."""

import asyncio
import contextlib
import logging
import ssl

import aiohttp
from harness import FIRST, KEY, LONG, SECOND, heard, same, same_but_for_a_gap, slng, sounding, within
from livekit import rtc
from livekit.agents import APIError
from livekit.agents import stt as speech
from livekit.plugins import slng as plugin

world = slng

# It tells of each redial by a traceback.
logging.getLogger("livekit").setLevel(logging.CRITICAL)
# What is said here takes 8 s at most; a client that dials again needs a few more.
LONGEST_STREAM = 25


def session():
    """aiohttp reads the trusted certificates when it is imported, which is before ours is made."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ssl.create_default_context()))


@contextlib.asynccontextmanager
async def voice():
    async with session() as http:
        tts = plugin.TTS(api_key=KEY, model="deepgram/aura:2", voice="aura-2-thalia-en", http_session=http)
        yield tts
        await within(10, "TTS closed", tts.aclose())


async def say(tts, text, on_audio=None):
    """What one stream says to the end, as the bytes that reached the application."""
    pcm = bytearray()

    async def collect():
        async with tts.stream() as stream:
            stream.push_text(text)
            stream.end_input()
            async for event in stream:
                pcm.extend(bytes(event.frame.data))
                if on_audio and not on_audio():
                    break

    await within(LONGEST_STREAM, "end of the speech", collect())
    return bytes(pcm)


async def check_synthesis(_relay):
    async with voice() as tts:
        same(await heard(await say(tts, FIRST), 24000), FIRST)


async def check_interrupted_synthesis(_relay):
    async with voice() as tts:
        part = await say(tts, LONG, on_audio=lambda: False)
        assert len(part) < 48000 * 2, "the interrupted speech was made to its end"
        same(await heard(await say(tts, SECOND), 24000), SECOND)


async def check_synthesis_over_a_cut_link(relay):
    """The client gives up speech that was half heard; its next speech is whole."""
    async with voice() as tts:
        cuts = []

        def cut_once():
            if not cuts:
                cuts.append(relay.cut())
            return True

        with contextlib.suppress(APIError):
            await say(tts, LONG, on_audio=cut_once)
        assert cuts, "nothing was heard before the cut"
        same(await heard(await say(tts, SECOND), 24000), SECOND)


async def hear(frames, relay=None, cut_at=None):
    """The finals of one stream that is given the frames in real time."""
    finals = []

    async def push(stream):
        for number, frame in enumerate(frames):
            if number == cut_at:
                relay.cut()
            stream.push_frame(rtc.AudioFrame(frame, 16000, 1, 320))
            await asyncio.sleep(0.02)
        stream.end_input()

    async def collect(stream):
        async for event in stream:
            if event.type == speech.SpeechEventType.FINAL_TRANSCRIPT:
                finals.append(event.alternatives[0].text)

    async with session() as http:
        engine = plugin.STT(api_key=KEY, model="deepgram/nova:3", http_session=http)
        async with engine.stream() as stream:
            both = asyncio.gather(push(stream), collect(stream))
            await within(LONGEST_STREAM, "end of the transcript", both)
    return " ".join(finals)


async def check_utterance(_relay):
    same(await hear(await sounding(FIRST)), FIRST)


async def check_utterance_over_a_cut_link(relay):
    frames = await sounding(FIRST)
    before = relay.opened
    # The client replays what it sent, but not the up to 64 ms it was still gathering when the link
    # broke: one block of tonetext, two if they fall on a border.
    same_but_for_a_gap(await hear(frames, relay, len(frames) // 2), FIRST, 16)
    assert relay.opened > before + 1, "the client did not dial again"
