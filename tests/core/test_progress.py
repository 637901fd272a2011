from transferkit.core.progress import SILENT


def test_the_silent_reporter_prints_nothing(capsys):
    SILENT.note("hello")
    with SILENT.task("reading", 3, "images") as task:
        task.advance()
        task.foresee("soon")
    assert capsys.readouterr() == ("", "")
