"""Jobs are told by any worker, end when asked, and never hang when their runner dies."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bigimage.errors import NotFound
from tilesrv import ingesting, jobstore, runner
from tilesrv.errors import TooMany
from tilesrv.jobstore import Job, JobStore

JOB = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def queued(store: JobStore, **values: Any) -> Job:
    """A queued job whose lock this process does not hold."""
    return store.create(JOB, "ingest", source="x.tif", arguments=("list",), **values)


def test_records_survive_the_disk(store: JobStore) -> None:
    job = replace(queued(store), state="done", images=("a", "b"), progress=1.0)
    store.write(job)
    assert store.read(JOB) == job
    assert [path.name for path in store.folder.iterdir()] == [f"{JOB}.json"]


def test_a_job_whose_runner_died_is_told_as_failed(store: JobStore) -> None:
    folder = store.uploads / "u"
    folder.mkdir(parents=True)
    with store.hold(JOB):
        queued(store, upload=folder)
        assert store.get(JOB).state == "queued"
    assert (store.get(JOB).state, store.get(JOB).message) == (
        "failed",
        "the process that ran it died; start it again",
    )
    assert store.read(JOB).state == "failed"
    assert not folder.exists()


@pytest.mark.parametrize("job", ["", "x", "../" + JOB, JOB.upper(), JOB + "0"])
def test_what_is_no_id_names_no_file(store: JobStore, job: str) -> None:
    with pytest.raises(NotFound):
        store.get(job)


def test_an_upload_outside_its_folder_is_never_removed(store: JobStore, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    store.discard_upload(replace(queued(store), upload=str(precious)))
    assert precious.exists()


def test_old_finished_records_are_forgotten(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobstore, "KEPT", 2)
    for number in range(4):
        job = store.create(f"{number:032x}", "ingest", source="", arguments=())
        store.write(replace(job, state="done", created=f"2026-01-0{number + 1}"))
    store.prune()
    assert [job.id[-1] for job in store.all()] == ["3", "2"]


def test_uploads_of_dead_servers_are_swept_after_a_day(store: JobStore) -> None:
    for name, age in (("old", 100_000.0), ("new", 10.0)):
        (store.uploads / name).mkdir(parents=True)
        os.utime(store.uploads / name, (time.time() - age,) * 2)
    store.sweep()
    assert [path.name for path in store.uploads.iterdir()] == ["new"]


def test_too_many_jobs_are_refused(store: JobStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ingesting, "MOST_ACTIVE", 1)
    with store.hold(JOB):
        queued(store)
        with pytest.raises(TooMany, match="1 jobs"):
            ingesting.start(store, tmp_path / "x.tif", ingesting.Description(), job="f" * 32)


def _work(store: JobStore, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Make every job run a program of the test instead of bigimage."""
    script = store.workspace / "fake.py"
    script.write_text(program)
    monkeypatch.setattr(runner, "COMMAND", (str(script),))


def test_progress_is_copied_and_ids_are_read(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _work(store, monkeypatch, "import sys; sys.stderr.write('ingest x:  37%, 3 s\\n'); print('one'); print('two')")
    queued(store)
    with store.hold(JOB):
        job = runner.run(store, JOB)
    assert (job.state, job.images, job.progress) == ("done", ("one", "two"), 1.0)
    assert job == store.read(JOB)
    assert job.started is not None
    assert job.finished is not None


def test_a_failure_tells_the_last_thing_said_without_the_upload_folder(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.uploads / "u"
    folder.mkdir(parents=True)
    _work(
        store, monkeypatch, f"import sys; print('noise', file=sys.stderr); sys.exit('bigimage: {folder}/x.tif is bad')"
    )
    queued(store, upload=folder)
    job = runner.run(store, JOB)
    assert (job.state, job.message) == ("failed", "bigimage: x.tif is bad")
    assert not folder.exists()


def test_work_that_is_killed_fails_with_the_signal(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _work(store, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    queued(store)
    assert runner.run(store, JOB).message == "killed by SIGKILL"


def test_a_cancelled_job_ends_even_when_its_work_ignores_interrupts(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE", 0.3)
    _work(store, monkeypatch, "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)")
    with store.hold(JOB):
        queued(store)
        store.cancel(JOB)
        monkeypatch.setattr(runner, "SLOTS", 2)
        monkeypatch.setattr(JobStore, "is_cancelled", _later(JobStore.is_cancelled))
        job = runner.run(store, JOB)
    assert (job.state, job.message) == ("cancelled", "cancelled")


def test_half_made_pyramids_of_a_failed_upload_are_removed(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    images = store.workspace / "images"
    for name in (".x.partial", ".x-2.partial", ".xy.partial", ".x-ray.partial", "x"):
        (images / name / "0").mkdir(parents=True)
    (store.uploads / "u").mkdir(parents=True)
    _work(store, monkeypatch, "raise SystemExit(1)")
    queued(store, upload=store.uploads / "u")
    held = os.open(images / ".x-2.partial", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert runner.run(store, JOB).state == "failed"
    finally:
        os.close(held)
    assert sorted(path.name for path in images.iterdir()) == [".x-2.partial", ".x-ray.partial", ".xy.partial", "x"]


def test_a_job_that_made_some_images_names_them(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _work(store, monkeypatch, "import sys; print('a'); print('b'); sys.exit('1 of 3 images could not be made')")
    queued(store)
    job = runner.run(store, JOB)
    assert (job.state, job.images, job.message) == ("failed", ("a", "b"), "1 of 3 images could not be made")


def _later(real: Any) -> Any:
    """`is_cancelled` that says no at first, so that the work begins."""
    calls = iter(range(10_000))
    return lambda self, job: next(calls) > 2 and real(self, job)


def test_a_job_cancelled_while_it_waits_never_starts(store: JobStore) -> None:
    with store.hold(JOB):
        queued(store)
        store.cancel(JOB)
        job = runner.run(store, JOB)
    assert (job.state, job.started) == ("cancelled", None)


def test_jobs_wait_for_a_slot(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _work(store, monkeypatch, "print('x')")
    monkeypatch.setattr(runner, "SLOTS", 1)
    monkeypatch.setattr(JobStore, "is_cancelled", _later(lambda self, job: True))
    queued(store)
    held = jobstore.take_lock(store.folder / "slot-0.lock")
    assert held is not None
    with held:
        assert runner.run(store, JOB).state == "cancelled"


def test_a_killed_runner_takes_its_work_along_and_the_job_fails(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = store.workspace / "fake.py"
    script.write_text(
        f"import os, time; open({str(store.workspace / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    program = (
        "import sys; from tilesrv import runner; "
        f"runner.COMMAND = ({str(script)!r},); sys.exit(runner.main(sys.argv[1:]))"
    )
    with store.hold(JOB) as lock:
        queued(store)
        command = [sys.executable, "-c", program, str(store.workspace), JOB, str(lock.fileno())]
        process = subprocess.Popen(command, pass_fds=(lock.fileno(),))
    pid = _wait_for(store.workspace / "pid")
    assert store.get(JOB).state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.get(JOB).state == "failed"
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.02)
    else:
        raise AssertionError("the work outlived its runner")


def _wait_for(path: Path) -> str:
    for _ in range(500):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} does not appear")


def test_events_follow_a_job_to_its_end(client: httpx.Client) -> None:
    answer = client.post("/images?filename=x.tif", content=b"no image", headers={"Content-Type": "image/tiff"})
    job = answer.json()["id"]
    names: list[str] = []
    with client.stream("GET", f"/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    assert names[-1] == "failed"
    assert last == client.get(f"/jobs/{job}").json()
    assert "arguments" not in last
    assert job in [entry["id"] for entry in client.get("/jobs").json()]


def test_a_job_is_cancelled_over_http(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.post("/images?filename=x.tif", content=b"no image", headers={"Content-Type": "image/tiff"})
    job = answer.json()["id"]
    assert client.delete(f"/jobs/{job}").status_code == 202
    for _ in range(500):
        state = client.get(f"/jobs/{job}").json()["state"]
        if state not in ("queued", "running"):
            break
        time.sleep(0.02)
    assert state in ("cancelled", "failed")  # failed, where the work was quicker than the wish


@pytest.mark.parametrize("path", ["/jobs/x", f"/jobs/{JOB}", f"/jobs/{JOB}/events"])
def test_unknown_jobs_are_told(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (400, 404)
