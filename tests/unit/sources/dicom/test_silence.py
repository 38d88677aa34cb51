import threading
import warnings

from bigimage.sources.dicom.silence import quiet


def test_silence_ends_with_the_last_reader() -> None:
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with quiet():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with quiet():
        thread.start()
        inside.wait(10)
    assert warnings.filters != before
    leave.set()
    thread.join()
    assert warnings.filters == before
