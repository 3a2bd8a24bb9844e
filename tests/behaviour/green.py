"""A program under gevent or eventlet: what came of each request, and whether others ran meanwhile, as JSON.

    python green.py gevent|eventlet before|after all|PART,PART PORT TLS_PORT CA_FILE

``before`` and ``after``: when the patching is done, of the import of wirepool and of the first requests.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")
KIND, WHEN, PARTS = sys.argv[1:4]
PORT, TLS_PORT, CA_FILE = int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
GEVENT_PARTS = ("socket", "dns", "time", "select", "thread", "os", "ssl", "subprocess", "sys", "queue", "signal")


def patch():
    if KIND == "gevent":
        from gevent import monkey

        chosen = PARTS.split(",")
        monkey.patch_all(**({} if PARTS == "all" else {part: part in chosen for part in GEVENT_PARTS}))
    else:
        import eventlet

        eventlet.monkey_patch(**({} if PARTS == "all" else dict.fromkeys(PARTS.split(","), True)))


if WHEN == "before":
    patch()

from wirepool import HTTPConnectionPool, PoolManager, Retry  # noqa: E402

pool = HTTPConnectionPool("127.0.0.1", PORT, maxsize=1, block=True, timeout=4)
tls = PoolManager(ca_certs=CA_FILE, timeout=4)
TLS_URL = f"https://localhost:{TLS_PORT}"

if WHEN == "after":
    pool.request("GET", "/")
    tls.request("GET", TLS_URL + "/")
    patch()

if KIND == "gevent":
    import gevent

    spawn, nap, result = gevent.spawn, gevent.sleep, lambda greenlet: greenlet.get()
else:
    import eventlet

    spawn, nap, result = eventlet.spawn, eventlet.sleep, lambda greenlet: greenlet.wait()

ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        nap(0.005)


def together(count, work):
    return [result(greenlet) for greenlet in [spawn(work) for _ in range(count)]]


def refused():
    PoolManager().request("GET", "http://127.0.0.1:1/", retries=Retry(2, backoff_factor=0.05))


def waiters():
    return [answer.data.decode() for answer in together(3, lambda: pool.request("GET", "/wait"))]


SCENES = {
    "plain": lambda: pool.request("GET", "/wait").data.decode(),
    "streamed": lambda: b"".join(pool.request("GET", "/wait", preload_content=False).stream()).decode(),
    "timeout": lambda: pool.request("GET", "/never", timeout=0.1, retries=False),
    "backoff": refused,
    "name": lambda: PoolManager(timeout=3).request("GET", f"http://localhost:{PORT}/wait").data.decode(),
    "tls": lambda: tls.request("GET", TLS_URL + "/wait").data.decode(),
    "tls timeout": lambda: tls.request("GET", TLS_URL + "/never", timeout=0.1, retries=False),
}
if PARTS == "all" or "thread" in PARTS:
    SCENES["waiters"] = waiters

spawn(tick)
nap(0)
found = {}
for name, scene in SCENES.items():
    before = ticks
    try:
        came = scene()
    except Exception as error:
        came = type(error).__name__
    found[name] = [came, ticks - before]
print(json.dumps(found))
