"""Plivo's server package, unchanged: what it signs is accepted by `voxline serve`, and what `voxline call` signs by it."""

import contextlib
import os
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from harness import serving, voxline
from plivo.utils import validate_v3_signature
from plivo.utils.signature_v3 import construct_get_url, construct_post_url, get_signature_v3

TOKEN = "interop_auth_token_0123456789abcdef"
PUBLIC = "https://voice.example.com"
CALL = {"CallUUID": "c-1", "From": "+14155550100", "To": "+14155550199", "Direction": "inbound", "CallStatus": "ringing"}


@contextlib.asynccontextmanager
async def world():
    """A `voxline serve` that checks signatures, and its address."""
    os.environ["PLIVO_AUTH_TOKEN"] = TOKEN
    args = ["serve", "--listen", "127.0.0.1:0", "--public-url", PUBLIC, "--simulate"]
    try:
        async with serving(*args, ready=r"ws://127\.0\.0\.1:(\d+)/stream") as found:
            yield f"http://127.0.0.1:{found[1]}"
    finally:
        del os.environ["PLIVO_AUTH_TOKEN"]


def signed(method, url, params, nonce, token=TOKEN):
    build = construct_get_url if method == "GET" else construct_post_url
    base = build(url, dict(params)).decode()
    signature = get_signature_v3(token.encode(), base, nonce.encode()).decode()
    return {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": nonce}


async def check_what_the_package_signs_is_accepted(address):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        for number, (query, params) in enumerate([("", CALL), ("?b=2&a=1", CALL), ("", CALL | {"Name": "Zoë & co"})]):
            nonce = f"{number:020}"
            headers = signed("POST", f"{PUBLIC}/answer{query}", params, nonce)
            async with http.post(f"{address}/answer{query}", data=params, headers=headers) as answer:
                body = await answer.text()
                assert answer.status == 200 and "wss://voice.example.com/stream?" in body, f"{answer.status}: {body}"
            forged = signed("POST", f"{PUBLIC}/answer{query}", params, nonce + "1", token="another_token")
            async with http.post(f"{address}/answer{query}", data=params, headers=forged) as answer:
                assert answer.status == 403, answer.status
        query = "?CallUUID=c-1&From=14155550100&To=14155550199"
        headers = signed("GET", f"{PUBLIC}/answer{query}", {}, "7")
        async with http.get(f"{address}/answer{query}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()


async def check_what_we_sign_the_package_accepts(_address):
    verdicts = []

    def judge(request, url, params):
        nonce = request.headers["X-Plivo-Signature-V3-Nonce"]
        signature = request.headers["X-Plivo-Signature-V3"]
        verdicts.append((request.path, validate_v3_signature(request.method, url, nonce, TOKEN, signature, params)))

    async def answer(request):
        host = request.headers["Host"]
        judge(request, f"http://{host}{request.path_qs}", dict(parse_qsl(await request.text(), keep_blank_values=True)))
        stream = f"ws://{host}/stream?room=7&amp;call=42"
        xml = f'<Response><Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000">{stream}</Stream></Response>'
        return web.Response(text=xml, content_type="application/xml")

    async def stream(request):
        # The form in which an upgrade is really signed.
        judge(request, f"http://{request.headers['Host']}{request.path_qs}", {})
        return web.Response(status=403, text="enough was seen")

    app = web.Application()
    app.router.add_post("/answer", answer)
    app.router.add_get("/stream", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        await voxline("call", f"http://localhost:{port}/answer?a=1&b=2", "--auth-token", TOKEN, seconds=30)
    finally:
        await runner.cleanup()
    # Refused, a stream is dialled twice more.
    assert verdicts == [("/answer", True)] + 3 * [("/stream", True)], verdicts
