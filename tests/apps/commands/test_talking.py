from manymodes.apps.commands.talking import Lines, following, in_words, teller


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_now_and_then_with_the_time_that_is_left():
    clock, told = Clock(), []
    follow = Lines("predicting:", "rows", told.append, clock)
    for seconds, done in ((5, 100), (11, 2000), (15, 3000), (21, 4000), (31, 10_000)):
        clock.now = 100.0 + seconds
        follow(done, 10_000)
    assert told == [
        "predicting: 2,000 of 10,000 rows, about 44 s left",
        "predicting: 4,000 of 10,000 rows, about 32 s left",
    ]


def test_what_else_there_is_to_say_comes_before_the_time_left():
    clock, told = Clock(), []
    follow = Lines("fitting:", "epochs", told.append, clock)
    clock.now += 600
    follow(1, 5, ", validation loss 0.500")
    assert told == ["fitting: 1 of 5 epochs, validation loss 0.500, about 40 min left"]


def test_the_time_that_is_left_is_told_once_enough_was_done_to_know():
    clock, told = Clock(), []
    follow = Lines("fitting:", "epochs", told.append, clock)
    for done in (4, 5):
        clock.now += 50
        follow(done, 100)
    assert told == ["fitting: 4 of 100 epochs", "fitting: 5 of 100 epochs, about 32 min left"]


def test_times_are_told_in_the_unit_that_fits():
    assert [in_words(seconds) for seconds in (0.2, 89, 120, 5399, 7200)] == ["1 s", "89 s", "2 min", "90 min", "2.0 h"]


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with following("predicting", "rows", quiet=False) as follow:
        follow(300, 1000)
    shown = capsys.readouterr().err
    assert "predicting" in shown
    assert "300/1000" in shown


def test_quiet_is_quiet_on_a_terminal_and_in_a_log(monkeypatch, capsys):
    for is_terminal in (True, False):
        monkeypatch.setattr("sys.stderr.isatty", lambda answer=is_terminal: answer)
        with following("predicting", "rows", quiet=True) as follow:
            follow(300, 1000)
        teller(quiet=True)("hello")
    assert capsys.readouterr().err == ""
