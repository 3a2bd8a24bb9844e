"""``install_as_urllib3``: urllib3's modules, version, loggers and pickles are ours, and what must go wrong says so.

The alias is process-wide, so each script is a process of its own. Under the tests' requirements the real urllib3 is
installed, which is the usual case for users, too.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servers.echo import EchoServer
from servers.scripted import Close, Hold, Recv, Send
from wirepool._version import urllib3_version, wirepool_version

ROOT = Path(__file__).parents[2]

INSTALL = "import sys, wirepool; wirepool.install_as_urllib3()\n"


def run(script: str, *arguments: str, install: bool = True) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-c", (INSTALL if install else "") + script, *arguments]
    return subprocess.run(command, capture_output=True, timeout=30)


def check(script: str, *arguments: str, install: bool = True) -> bytes:
    """Runs a script of assertions; returns what it prints."""
    finished = run(script, *arguments, install=install)
    assert finished.returncode == 0, finished.stderr.decode()
    assert finished.stderr == b""
    return finished.stdout


# --- modules ----------------------------------------------------------------------------------------------------------


def test_a_module_is_the_same_one_under_both_names_whichever_comes_first() -> None:
    check(
        """
import importlib, pkgutil, warnings
warnings.simplefilter("ignore")
names = [info.name for info in pkgutil.walk_packages(wirepool.__path__, "wirepool.")]
names = [name for name in names if not name.startswith(("wirepool.cli", "wirepool.__main__", "wirepool.contrib.req"))]
unloaded = [name for name in names if name not in sys.modules]
assert len(names) > 40 and len(unloaded) > 8, unloaded
for number, ours in enumerate(names):
    alias = "urllib3" + ours[len("wirepool"):]
    for name in (ours, alias) if number % 2 else (alias, ours):
        importlib.import_module(name)
    module = sys.modules[ours]
    assert sys.modules[alias] is module, ours
    assert module.__name__ == module.__spec__.name == ours, module.__spec__
    assert type(module) is type(sys), type(module)
    parent, _, child = alias.rpartition(".")
    assert getattr(sys.modules[parent], child) is module
"""
    )


def test_every_way_to_import_leads_there() -> None:
    check(
        """
import urllib3, urllib3.util.retry, urllib3.contrib.socks as socks
from urllib3 import util, http2
from urllib3.http2 import probe
from urllib3.util.timeout import Timeout
import importlib, importlib.util, inspect, pkgutil
assert urllib3 is wirepool and util is wirepool.util and http2 is wirepool.http2
assert socks is sys.modules["wirepool.contrib.socks"] is urllib3.contrib.socks is wirepool.contrib.socks
assert urllib3.util.retry.Retry is wirepool.Retry is urllib3.Retry and Timeout is wirepool.Timeout
assert importlib.import_module(".probe", "urllib3.http2") is probe is __import__("urllib3.http2.probe").http2.probe
assert pkgutil.resolve_name("urllib3.util.retry:Retry.increment") is wirepool.Retry.increment
found = {info.name for info in pkgutil.iter_modules(urllib3.__path__, "urllib3.")}
assert {"urllib3.util", "urllib3.response", "urllib3._collections"} <= found

assert importlib.util.find_spec("urllib3.util.retry") is wirepool.util.retry.__spec__
spec = importlib.util.find_spec("urllib3.util.ssltransport")
assert spec.origin.endswith("ssltransport.py") and spec.has_location and spec.parent == "urllib3.util"
assert "wirepool.util.ssltransport" not in sys.modules
assert "class SSLTransport" in spec.loader.get_source(spec.name)
assert spec.loader.get_code(spec.name).co_filename == spec.origin and not spec.loader.is_package(spec.name)
assert "SSLTransport" in inspect.getsource(importlib.import_module("urllib3.util.ssltransport"))

before = urllib3.util.retry
assert importlib.reload(urllib3.util.retry) is before is sys.modules["wirepool.util.retry"]
for module in (urllib3._version, urllib3):
    assert importlib.reload(module).__version__ == "2.8.0"
assert before.log.name == "urllib3.util.retry"
"""
    )


def test_a_module_that_is_not_there_is_said_to_be_missing_here() -> None:
    check(
        """
import urllib3
for name in ("urllib3.contrib.emscripten", "urllib3.packages.six", "urllib3.nonsense"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert "wirepool stands in for urllib3" in str(error) and error.name in name, error
    else:
        raise AssertionError(name)
try:
    import urllib3.util.retry.nonsense
except ModuleNotFoundError as error:
    assert "is not a package" in str(error), error
try:
    from urllib3.contrib import appengine
except ImportError as error:
    assert "appengine" in str(error)
assert not [name for name in sys.modules if name.startswith("urllib3") and "wirepool" + name[7:] not in sys.modules]
"""
    )


def test_a_module_that_cannot_be_imported_leaves_no_trace() -> None:
    check(
        """
sys.modules["h2"] = sys.modules["h2.connection"] = None
for attempt in range(2):
    try:
        import urllib3.http2.connection
    except ImportError as error:
        assert "h2" in str(error), error
    else:
        raise AssertionError
    assert "urllib3.http2.connection" not in sys.modules and "wirepool.http2.connection" not in sys.modules
"""
    )


def test_threads_that_import_at_once_get_the_same() -> None:
    check(
        """
import threading, importlib
sys.setswitchinterval(1e-6)
names = ["contrib.socks", "http2.probe", "util.ssltransport", "http2", "contrib"]
start, got = threading.Barrier(12), []
def work(number):
    start.wait(10)
    for name in names[number % 5:] + names:
        module = importlib.import_module(("urllib3." if number % 2 else "wirepool.") + name)
        from urllib3.contrib.socks import SOCKSProxyManager
        got.append((name, module, SOCKSProxyManager))
threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join(10)
assert len(got) > 12 * 5
for name, module, manager in got:
    assert module is sys.modules["wirepool." + name] is sys.modules["urllib3." + name]
    assert manager is wirepool.contrib.socks.SOCKSProxyManager
"""
    )


# --- versions ---------------------------------------------------------------------------------------------------------

# As requests checks it.
REQUESTS_CHECK = """
import urllib3
major, minor, patch = (int(part) for part in urllib3.__version__.split("."))
assert (1, 21, 1) <= (major, minor, patch) and 2 <= major < 3
"""


def test_consumers_that_check_the_version_find_urllib3s() -> None:
    out = check(
        f"""{REQUESTS_CHECK}
from urllib3 import _version
from wirepool.connection import _get_default_user_agent as agent
print(wirepool.__version__, _version.version, *_version.version_tuple, _version.wirepool_version, agent())
"""
    )
    agent = f"python-urllib3/{wirepool_version}"
    assert out.decode().split() == [urllib3_version, urllib3_version, "2", "8", "0", wirepool_version, agent]


METADATA = """
import importlib.metadata as metadata
for name in ("urllib3", "URLLIB3"):
    assert metadata.version(name) == "2.8.0"
found = metadata.distribution("urllib3")
assert found.metadata["Name"] == found.name == "urllib3" and "wirepool" in found.metadata["Summary"]
assert {line.split('"')[-2] for line in metadata.requires("urllib3")} == {"brotli", "zstd", "socks", "h2"}
assert "urllib3" in metadata.packages_distributions()["urllib3"]
assert [dist.version for dist in metadata.distributions() if dist.name == "urllib3"][0] == "2.8.0"
assert metadata.version("pytest") and not metadata.files("urllib3")
metadata.entry_points()
"""


def test_the_installed_distribution_is_answered_for() -> None:
    check(METADATA)


@pytest.mark.parametrize("installed", [None, "1.26.5"])
def test_without_one_and_with_an_old_one(installed: str | None, tmp_path: Path) -> None:
    if installed:
        folder = tmp_path / f"urllib3-{installed}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: urllib3\nVersion: {installed}\n")
    fewer = METADATA.replace('metadata.version("pytest") and ', "")
    check(f"sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if 'site-packages' not in p)]\n{fewer}")


# --- loggers ----------------------------------------------------------------------------------------------------------

LOGGING = """
import io, logging, sys
seen = []
class Handler(logging.Handler):
    def emit(self, record):
        seen.append(record.name)
def get():
    seen.clear()
    wirepool.PoolManager().request("GET", sys.argv[1])
    return seen
logging.getLogger("urllib3").addHandler(Handler())
logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
import wirepool
assert get() == []
wirepool.install_as_urllib3()
assert get() == ["urllib3.connectionpool"] * 2, seen

logger = logging.getLogger("urllib3.connectionpool")
logger.disabled = True
assert get() == []
logger.disabled = False
logger.setLevel(logging.INFO)
assert get() == []
logger.setLevel(logging.NOTSET)
logging.getLogger("urllib3").setLevel(logging.DEBUG)
assert get() == ["urllib3.connectionpool"] * 2
logger.addFilter(lambda record: "Starting" in record.getMessage())
assert get() == ["urllib3.connectionpool"]

import urllib3, urllib3.http2.connection, urllib3.contrib.pyopenssl
sys.stderr = io.StringIO()
urllib3.add_stderr_logger()
assert "to logger: urllib3\\n" in sys.stderr.getvalue() and seen[-1] == "urllib3"
sys.stderr = sys.__stderr__
for name, module in list(sys.modules.items()):
    log = vars(module).get("log") if name.startswith("wirepool") else None
    assert not isinstance(log, logging.Logger) or log.name.startswith("urllib3."), (name, log)
"""


def test_records_go_to_urllib3s_loggers_with_what_is_set_on_them(echo: EchoServer) -> None:
    check(LOGGING, f"{echo.url}/bytes/3", install=False)


def test_nobody_hears_anything_where_logging_is_not_set_up() -> None:
    check("import urllib3; urllib3.connectionpool.log.warning('Connection pool is full')")


# --- urllib3 is there already -----------------------------------------------------------------------------------------

REFUSED = """
import sys, urllib3, {consumer}
import wirepool
modules = {{name: module for name, module in sys.modules.items() if name.startswith("urllib3")}}
finders = list(sys.meta_path)
try:
    wirepool.install_as_urllib3()
except RuntimeError as error:
    print(error)
assert modules == {{name: module for name, module in sys.modules.items() if name.startswith("urllib3")}}
assert finders == sys.meta_path and wirepool.__version__ == wirepool._version.wirepool_version
assert wirepool.connectionpool.log.name == "wirepool.connectionpool"
"""


def test_it_is_refused_when_urllib3_is_imported_and_the_message_says_what_to_do() -> None:
    message = check(REFUSED.format(consumer="json"), install=False).decode()
    assert message.startswith("urllib3 2.")
    assert "__main__" in message  # the script itself
    for advice in ("before anything imports urllib3", "python -m wirepool exec", "force=True"):
        assert advice in message


def test_the_message_names_who_holds_it() -> None:
    pytest.importorskip("requests")
    assert b"is used by __main__, requests:" in check(REFUSED.format(consumer="requests"), install=False)


def test_another_thread_that_is_about_to_import_urllib3_is_waited_for() -> None:
    check(
        """
import sys, threading, wirepool
from wirepool import _dropin
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "urllib3":
            entered.set()
            assert go.wait(10)
entered, go = threading.Event(), threading.Event()
sys.meta_path.insert(0, Slow())
other = threading.Thread(target=__import__, args=("urllib3",))
other.start()
assert entered.wait(10) and "urllib3" not in sys.modules
start = _dropin.imports.start
def start_then_let_go():
    start()
    go.set()
_dropin.imports.start = start_then_let_go
try:
    wirepool.install_as_urllib3()
except RuntimeError as error:
    assert "imported already" in str(error), error
else:
    raise AssertionError
other.join(10)
import urllib3
assert urllib3 is not wirepool and urllib3.PoolManager is not wirepool.PoolManager
assert not _dropin.imports.is_active()
""",
        install=False,
    )


def test_force_takes_over_and_names_what_keeps_the_old_one(echo: EchoServer) -> None:
    pytest.importorskip("requests")
    check(
        """
import sys, warnings, requests, urllib3
real, session = urllib3, requests.Session()
import wirepool
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wirepool.install_as_urllib3(force=True)
(warning,) = caught
assert warning.category is RuntimeWarning and warning.filename == "<string>", warning
assert "requests" in str(warning.message) and f"urllib3 {real.__version__}" in str(warning.message), warning.message

import urllib3, urllib3.util.retry
assert urllib3 is wirepool and sys.modules["urllib3.util.retry"] is wirepool.util.retry
strangers = [name for name, module in sys.modules.items()
    if name.startswith("urllib3") and not module.__name__.startswith("wirepool")]
assert strangers == []

# What was there goes on as it did, with its own exceptions; only its pickles are of no use.
import pickle
for retry, works in ((real.Retry(3), False), (urllib3.Retry(3), True)):
    try:
        assert pickle.loads(pickle.dumps(retry)).total == 3 and works
    except pickle.PicklingError:
        assert not works
assert session.get(sys.argv[1] + "/bytes/3").status_code == 200
try:
    real.PoolManager().request("GET", "http://127.0.0.1:1/", retries=False)
except real.exceptions.NewConnectionError as error:
    assert not isinstance(error, urllib3.exceptions.HTTPError)
try:
    urllib3.PoolManager().request("GET", "http://127.0.0.1:1/", retries=False)
except urllib3.exceptions.NewConnectionError as error:
    assert not isinstance(error, real.exceptions.HTTPError)
    assert type(error) is wirepool.exceptions.NewConnectionError
""",
        echo.url,
        install=False,
    )


# --- half an alias ----------------------------------------------------------------------------------------------------


def test_what_was_damaged_is_mended() -> None:
    check(
        """
import types, urllib3, urllib3.util.retry
finders = len(sys.meta_path)

wirepool.install_as_urllib3()
assert len(sys.meta_path) == finders

del sys.modules["urllib3"]
import urllib3
assert urllib3 is wirepool

del sys.modules["urllib3"], sys.modules["urllib3.util"], sys.modules["urllib3.util.retry"]
import urllib3.util.retry
assert urllib3.util.retry is wirepool.util.retry is sys.modules["urllib3.util.retry"]

sys.meta_path[:] = [entry for entry in sys.meta_path if not type(entry).__module__.startswith("wirepool")]
sys.modules["urllib3"] = None
wirepool.install_as_urllib3()
import urllib3, urllib3.contrib.socks
assert urllib3 is wirepool and sys.modules["urllib3.contrib.socks"] is wirepool.contrib.socks

old = sys.modules.pop("wirepool.util.wait")
import wirepool.util.wait
assert wirepool.util.wait is not old
wirepool.install_as_urllib3()
assert sys.modules["urllib3.util.wait"] is wirepool.util.wait
"""
    )


def test_what_was_overwritten_is_reported_and_mended_by_force() -> None:
    check(
        """
import types
sys.modules["urllib3"] = types.ModuleType("urllib3")
sys.modules["urllib3.extra"] = types.ModuleType("urllib3.extra")
for damaged in ("urllib3 of an unknown version from nowhere", "urllib3.extra"):
    try:
        wirepool.install_as_urllib3()
    except RuntimeError as error:
        assert str(error).startswith(damaged) and "was put in wirepool's place" in str(error), error
    else:
        raise AssertionError
    sys.modules["urllib3"] = wirepool
wirepool.install_as_urllib3(force=True)
assert "urllib3.extra" not in sys.modules
"""
    )


def test_modules_of_another_urllib3_that_was_put_back_are_its_own() -> None:
    check(
        """
ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "urllib3"}
import importlib.machinery
spec = importlib.machinery.PathFinder.find_spec("urllib3")
real = sys.modules["urllib3"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
import urllib3.contrib.socks
assert urllib3 is real and urllib3.contrib.socks.__spec__.name == "urllib3.contrib.socks"
assert urllib3.contrib.socks.SOCKSProxyManager is not ours
"""
    )


def test_a_submodule_that_was_aliased_by_hand_is_no_obstacle() -> None:
    check(
        """
import sys, wirepool
sys.modules["urllib3.util"] = wirepool.util
wirepool.install_as_urllib3()
import urllib3.util.retry
assert urllib3 is wirepool and urllib3.util.retry is wirepool.util.retry
""",
        install=False,
    )


@pytest.mark.parametrize("step", ["_alias_loaded", "go_by"])
def test_a_failure_in_between_undoes_the_rest(step: str) -> None:
    check(
        f"""
import sys, wirepool
from wirepool import _dropin
works = _dropin.{step}
def fail(*arguments):
    _dropin.{step} = works
    raise MemoryError
_dropin.{step} = fail
try:
    wirepool.install_as_urllib3()
except MemoryError:
    pass
assert not [name for name in sys.modules if name.startswith("urllib3")]
assert not _dropin.imports.is_active() and wirepool.__version__ == wirepool._version.wirepool_version
import urllib3
assert urllib3 is not wirepool

# Under force what was there comes back.
_dropin.{step} = fail
try:
    wirepool.install_as_urllib3(force=True)
except MemoryError:
    pass
assert sys.modules["urllib3"] is urllib3 and sys.modules["urllib3.util.retry"] is urllib3.util.retry
""",
        install=False,
    )


# --- objects that travel ----------------------------------------------------------------------------------------------

# A name -> how to make it, with the urllib3 of that process.
OBJECTS = """
import socket, urllib3
from urllib3 import exceptions as e
from urllib3.util import Retry, Timeout, Url
headers = urllib3.HTTPHeaderDict({"A": "b", "X": "y"})
headers.add("A", "c")
objects = {
    "retry": Retry(3, backoff_factor=0.5, status_forcelist=[503]).increment("GET", "/", error=e.ProtocolError("x")),
    "timeout": Timeout(connect=1, read=2, total=4),
    "headers": headers,
    "url": Url("http", None, "h", 3, "/p"),
    "field": urllib3.fields.RequestField("n", b"d", "f.txt", {"a": "b"}),
    "errors": [
        e.HTTPError("a", "b"),
        e.MaxRetryError(None, "/u", e.ProtocolError("x", OSError(3, "q"))),
        e.NewConnectionError(None, "m"),
        e.NameResolutionError("h", None, socket.gaierror(1, "a")),
        e.ReadTimeoutError(None, "/u", "m"),
        e.IncompleteRead(3, 4),
        e.ProxyError("m", OSError(2, "q")),
        e.SSLError(OSError(1, "q")),
        e.LocationValueError("v"),
    ],
}
"""

UNDERSTOOD = f"""
import pickle
{OBJECTS}
for data in pickle.load(sys.stdin.buffer):
    there = pickle.loads(data)
    for name, here in objects.items():
        assert type(there[name]) is type(here), name
    retry, timeout = there["retry"], there["timeout"]
    assert repr(retry) == repr(objects["retry"]) and retry.total == 2 and len(retry.history) == 1
    assert retry.increment("GET", "/", error=e.ProtocolError("x")).total == 1 and retry.is_retry("GET", 503)
    assert repr(timeout) == repr(objects["timeout"]) and timeout.clone().total == 4
    assert there["headers"] == headers and there["headers"].getlist("a") == ["b", "c"]
    assert there["url"] == objects["url"] and there["url"].url == "http://h:3/p"
    assert there["field"].__dict__.keys() == objects["field"].__dict__.keys()
    for theirs, ours in zip(there["errors"], objects["errors"], strict=True):
        assert (type(theirs), str(theirs)) == (type(ours), str(ours)), theirs
    try:
        raise there["errors"][1]
    except urllib3.exceptions.MaxRetryError as error:
        assert isinstance(error.reason, urllib3.exceptions.ProtocolError)
"""

PICKLE = f"{OBJECTS}\nimport pickle, sys\npickle.dump([pickle.dumps(objects, n) for n in range(6)], sys.stdout.buffer)"


def understand(script: str, pickles: bytes) -> None:
    finished = subprocess.run([sys.executable, "-c", script], input=pickles, capture_output=True, timeout=30)
    assert finished.returncode == 0, finished.stderr.decode()


def test_what_urllib3_pickled_is_understood_under_the_alias() -> None:
    understand(INSTALL + UNDERSTOOD, check(PICKLE, install=False))


def test_what_is_pickled_under_the_alias_is_understood_with_and_without_it() -> None:
    pickles = check(PICKLE)
    assert b"urllib3" not in b"".join(pickle.loads(pickles))
    understand(INSTALL + UNDERSTOOD, pickles)
    without = UNDERSTOOD.replace("urllib3", "wirepool").replace("import socket", "import sys, socket")
    understand(without, pickles)


def test_exceptions_are_caught_under_either_name(echo: EchoServer) -> None:
    check(
        """
import urllib3, urllib3.exceptions
for module in (urllib3, wirepool):
    for name in ("MaxRetryError", "HTTPError", "RequestError"):
        try:
            wirepool.PoolManager().request("GET", "http://127.0.0.1:1/", retries=0)
        except getattr(urllib3.exceptions, name, None) or urllib3.exceptions.PoolError as error:
            assert isinstance(error.reason, module.exceptions.NewConnectionError), error
"""
    )


# --- consumers --------------------------------------------------------------------------------------------------------


def test_what_requests_keeps_under_a_third_name() -> None:
    """Modules that were not loaded when it did so are not loaded a second time; requests-toolbelt asks for one."""
    pytest.importorskip("requests")
    check(
        """
import importlib
import requests
import requests.packages
names = "contrib.socks", "http2.probe", "util.ssltransport", "response", "contrib"
for name in names:
    third = importlib.import_module(f"requests.packages.urllib3.{name}")
    assert third is importlib.import_module(f"wirepool.{name}") is importlib.import_module(f"urllib3.{name}"), name
    assert third.__name__ == third.__spec__.name == f"wirepool.{name}"
from requests.packages.urllib3.contrib import socks
assert socks.SOCKSProxyManager is importlib.import_module("wirepool.contrib.socks").SOCKSProxyManager
for name in ("requests.packages.urllib3.nonsense", "requests.packages.nonsense", "requests.packages.idna.nonsense"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == name and ("stands in" in str(error)) == ("urllib3" in name), error
    else:
        raise AssertionError(name)
"""
    )


def test_requests(echo: EchoServer, scripted: Any) -> None:
    pytest.importorskip("requests")
    cut = scripted([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Close()])
    slow = scripted([Recv(), Hold()])
    gone = scripted([Recv(), Close()])
    check(
        """
import requests
from requests import exceptions as e
import requests.packages.urllib3.exceptions
from requests.packages.urllib3.util.retry import Retry
from requests.adapters import HTTPAdapter
assert requests.packages.urllib3 is wirepool and Retry is wirepool.Retry
echo, cut, slow, gone = sys.argv[1:]
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503], backoff_factor=0)))
answer = session.get(echo + "/bytes/5", params={"a": "b"})
assert answer.status_code == 200 and len(answer.content) == 5 and type(answer.raw) is wirepool.HTTPResponse
assert session.post(echo + "/echo", data=iter([b"ab", b"c"])).json()["body"] == "abc"
with session.get(echo + "/bytes/100000", stream=True) as streamed:
    assert sum(map(len, streamed.iter_content(1000))) == 100000
def fails(kind, *arguments, **options):
    try:
        requests.get(*arguments, **options)
    except kind as error:
        assert type(error) is kind, error
    else:
        raise AssertionError(kind)
fails(e.ConnectionError, "http://127.0.0.1:1/")
fails(e.ConnectionError, gone)
fails(e.ChunkedEncodingError, cut)
fails(e.ReadTimeout, slow, timeout=0.2)
fails(e.InvalidURL, "http://.example/")
fails(e.InvalidHeader, echo, headers={"a": "b\\r\\nc"})
try:
    session.get(echo + "/status/503")
except e.RetryError as error:
    assert isinstance(error.args[0], wirepool.exceptions.MaxRetryError)
""",
        echo.url,
        *(f"http://{server.host}:{server.port}/" for server in (cut, slow, gone)),
    )
