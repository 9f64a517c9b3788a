"""The local page: permitted requests, accepted inputs, and results for the right request."""

import asyncio
import threading
import time

import httpx
import pytest

from cmed_jax.app import queue as queue_module
from cmed_jax.app.queue import PredictionQueue, safe_name
from cmed_jax.app.server import application
from cmed_jax.io.formats.markup import MOST_BYTES
from cmed_jax.prediction.batch import JOB_STEPS

HOME = "http://127.0.0.1:8000"
PATTERN = b"10 1\n11 2\n12 1\n"


class Oracle:
    """A network that returns its query; a pattern of the text `wait` waits until it is released."""

    def __init__(self):
        self.go = threading.Event()

    def __call__(self, job, folder, progress):
        text = job.file.read_bytes()
        progress(JOB_STEPS[2])
        if text == b"wait":
            assert self.go.wait(10)
        if text == b"bad":
            raise ValueError(f"{job.file}: cannot be read as columns")
        if text == b"broken":
            raise RuntimeError("a fault")
        (folder / "answer.html").write_bytes(b"<p>" + text)
        (folder / "secret.txt").write_text("not listed")
        return {"files": ["answer.html"], "alarms": [str(job.options.composition)]}


@pytest.fixture
def oracle():
    return Oracle()


@pytest.fixture
def queue(oracle, tmp_path):
    queue = PredictionQueue(oracle, tmp_path)
    yield queue
    oracle.go.set()
    queue.close()


@pytest.fixture
def ask(queue):
    """A function that sends a request as a browser on this machine would, or as given."""

    def ask(method, path, **options):
        async def send():
            transport = httpx.ASGITransport(application(queue))
            async with httpx.AsyncClient(transport=transport, base_url=HOME) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    return ask


@pytest.fixture
def submit(ask):
    def submit(content=PATTERN, name="salt.xy", **known):
        answer = ask("POST", "/predictions", params={"name": name, **known}, content=content)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    return submit


@pytest.fixture
def finish(ask):
    def finish(identity):
        for _ in range(1000):
            answer = ask("GET", f"/predictions/{identity}").json()
            if answer["state"] in ("done", "failed"):
                return answer
            time.sleep(0.005)
        raise AssertionError(answer)

    return finish


def test_the_front_page_offers_radiations_and_loads_its_own_parts_alone(ask):
    front = ask("GET", "/")
    assert "Cu Kα, 1.5419 Å" in front.text
    assert "$" not in front.text
    assert "'self'" in front.headers["content-security-policy"]
    for part in ("app.js", "app.css", "page.css"):
        assert f"/static/{part}" in front.text
        assert ask("GET", f"/static/{part}").status_code == 200


def test_a_pattern_is_answered_with_its_files(ask, submit, finish):
    identity = submit(composition="NaCl", cell="5.64 5.64 5.64 90 90 90", centring="F")
    answer = finish(identity)
    assert answer["state"] == "done"
    assert answer["files"] == ["answer.html"]
    report = ask("GET", f"/predictions/{identity}/answer.html")
    assert report.content == b"<p>" + PATTERN
    assert "inline" in report.headers["content-disposition"]
    assert "default-src 'none'" in report.headers["content-security-policy"]
    assert report.headers["x-content-type-options"] == "nosniff"


def test_what_is_known_reaches_the_prediction(queue, submit):
    known = {"wavelength": "CuKa", "elements": "Na Cl", "cell": "4 4 6 90 90 120", "centring": "P"}
    found = queue.task(submit(**known)).job.options
    assert found.wavelength == "CuKa"
    assert found.elements == ("Na", "Cl")
    assert found.cell == (4, 4, 6, 90, 90, 120)
    assert queue.task(submit(cell="auto")).job.options.cell == "auto"


def test_two_users_at_once_do_not_mix(ask, submit, finish):
    first, second = submit(b"10 1\n11 5\n", "a.xy", composition="Si"), submit(composition="NaCl")
    assert first != second
    assert finish(first)["alarms"] == ["Si"]
    assert finish(second)["alarms"] == ["NaCl"]
    assert ask("GET", f"/predictions/{first}/answer.html").content == b"<p>10 1\n11 5\n"
    assert ask("GET", f"/predictions/{second}/answer.html").content == b"<p>" + PATTERN


def test_those_who_wait_are_told_how_many_come_first(ask, submit, finish, oracle):
    first, second = submit(b"wait"), submit()
    assert ask("GET", f"/predictions/{second}").json()["ahead"] == 1
    assert ask("GET", f"/predictions/{second}").json()["state"] == "waiting"
    oracle.go.set()
    assert finish(second)["ahead"] == 0
    assert finish(first)["state"] == "done"


def test_steps_are_counted(ask, submit, finish, oracle):
    identity = submit(b"wait")
    for _ in range(1000):
        answer = ask("GET", f"/predictions/{identity}").json()
        if answer["done"]:
            break
        time.sleep(0.005)
    assert (answer["step"], answer["done"], answer["of"]) == (JOB_STEPS[2], 2, len(JOB_STEPS))
    oracle.go.set()
    assert finish(identity)["done"] == len(JOB_STEPS)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"bad", "salt.xy: cannot be read as columns"), (b"broken", "the terminal says what")],
)
def test_a_failure_is_a_sentence_and_the_next_is_answered(submit, finish, content, message):
    answer = finish(submit(content))
    assert (answer["state"], answer["files"]) == ("failed", None)
    assert message in answer["error"]
    assert finish(submit())["state"] == "done"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"params": {"name": "salt.exe"}}, 422, "not called like a pattern"),
        ({"params": {}}, 422, "not called like a pattern"),
        ({"content": b""}, 422, "empty"),
        ({"content": b"1" * (MOST_BYTES + 1)}, 413, "larger than"),
        ({"params": {"name": "a.xy", "composition": "NaXq"}}, 422, "Xq"),
        ({"params": {"name": "a.xy", "wavelength": "CuKx"}}, 422, "CuKx"),
        ({"params": {"name": "a.xy", "cell": "5 5 5"}}, 422, "a b c alpha beta gamma"),
        ({"params": {"name": "a.xy", "cell": "5 5 5 90 90 900"}}, 422, "cell"),
        ({"params": {"name": "a.xy", "centring": "X"}}, 422, "unknown centring 'X'"),
        ({"headers": {"origin": "http://evil.example"}}, 403, "this page alone"),
        ({"headers": {"origin": "null"}}, 403, "this page alone"),
        ({"headers": {"origin": "http://127.0.0.1:9999"}}, 403, "this page alone"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(ask, tmp_path, options, status, message):
    plain = {"params": {"name": "salt.xy"}, "content": PATTERN}
    answer = ask("POST", "/predictions", **(plain | options))
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert not list(tmp_path.iterdir())


def test_our_own_page_may_ask(ask):
    options = {"params": {"name": "a.xy"}, "content": PATTERN, "headers": {"origin": HOME}}
    assert ask("POST", "/predictions", **options).status_code == 202


def test_another_host_name_is_not_answered(ask):
    assert ask("GET", "/", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "secret.txt",
        "salt.xy",
        "..%2F..%2Fanswer.html",
        "%2e%2e/secret.txt",
        "%00",
        "none.html",
    ],
)
def test_files_that_are_not_listed_are_not_handed_out(ask, submit, finish, name):
    identity = submit()
    finish(identity)
    assert ask("GET", f"/predictions/{identity}/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/static/../app/server.py", "/static/%2e%2e/server.py"])
def test_static_files_are_of_their_folder(ask, path):
    assert ask("GET", path).status_code == 404


def test_an_unknown_prediction_is_not_found(ask):
    assert ask("GET", "/predictions/abc").status_code == 404
    assert ask("GET", "/predictions/abc/answer.html").status_code == 404


def test_names_lose_their_folders_and_odd_characters():
    assert safe_name("../../etc/halite.xy") == "halite.xy"
    assert safe_name("C:\\data\\a b.XRDML") == "a b.XRDML"
    assert safe_name("<img>\n.xy") == "_img__.xy"
    assert safe_name("..xy.xy") == "xy.xy"
    assert len(safe_name("a" * 500 + ".csv")) < 100


def test_too_many_are_asked_to_wait_and_old_answers_go(
    ask, submit, finish, queue, tmp_path, monkeypatch
):
    monkeypatch.setattr(queue_module, "KEPT", 3)
    done = [submit() for _ in range(5)]
    finish(done[-1])
    finish(submit())
    assert len(list(tmp_path.iterdir())) == 3
    assert ask("GET", f"/predictions/{done[0]}").status_code == 404
    monkeypatch.setattr(queue_module, "MOST_WAITING", 2)
    submit(b"wait"), submit(b"wait")
    answer = ask("POST", "/predictions", params={"name": "a.xy"}, content=PATTERN)
    assert answer.status_code == 503
    assert "try again" in answer.json()["error"]
