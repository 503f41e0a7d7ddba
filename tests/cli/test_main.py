from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineside_cli.main import COMMANDS, main
from lineside_contract.errors import InputError, NotDelivered

HEAVY = ("numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "paho", "rich", "asyncio", "sqlite3")
# Refuses to import one package, as if it were not installed, then runs the command line that follows.
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from lineside_cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "lineside_cli.main"]
    return subprocess.run(
        [sys.executable, *start, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_teaches_every_command() -> None:
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for name, command in COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert command.summary in result.stdout


def test_nothing_at_all_is_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: lineside COMMAND")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lineside_cli.main import main; main(['--help']); "
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert run(code=code).stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_loads_nothing_heavy(name: str) -> None:
    """Modules named commands.py import what they need when they run."""
    code = (
        "import sys, contextlib; from lineside_cli.main import main\n"
        f"with contextlib.suppress(SystemExit): main([{name!r}, '--help'])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = run(code=code)
    assert result.stdout.splitlines()[-1] == "HEAVY []"
    assert f"usage: lineside {name}" in result.stdout
    assert "example" in result.stdout
    assert result.stderr == ""


def test_help_is_quick() -> None:
    """The best of several: a busy machine makes a run slower, never faster."""
    took = []
    for _ in range(8):
        started = time.perf_counter()
        run("--help")
        took.append(time.perf_counter() - started)
    assert min(took) < 0.15


@pytest.mark.parametrize("arguments", [["export"], ["collector", "gaps"], ["bench", "compare"]])
def test_help_may_stand_in_front(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for line in (["help", *arguments], [*arguments, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(line)
        assert ended.value.code == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0].startswith(f"usage: lineside {' '.join(arguments)}")
    assert main(["help", "exprt"]) == 2
    assert capsys.readouterr().err == "lineside: lineside has no command 'exprt'. Did you mean 'export'?\n"


@pytest.mark.parametrize("option", ["--version", "-v", "-V"])
def test_version(option: str) -> None:
    result = run(option)
    assert result.returncode == 0
    name, version = result.stdout.split()
    assert name == "lineside"
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("colector", "Did you mean 'collector'?"),
        ("wacth", "Did you mean 'watch'?"),
        ("xyz", "See `lineside --help`."),
        ("compare", "Did you mean 'bench compare'?"),
        ("soak", "Did you mean 'bench soak'?"),
    ],
)
def test_an_unknown_command(capsys: pytest.CaptureFixture[str], typed: str, hint: str) -> None:
    assert main([typed, "--broker", "x"]) == 2
    assert capsys.readouterr().err == f"lineside: lineside has no command {typed!r}. {hint}\n"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "agent",
            ["check     try everything that an agent needs", "install   run the agent as a service"],
        ),
        ("sensor", ["list      the kinds of sensor", "test      show live values"]),
    ],
)
def test_a_command_that_needs_another_lists_them(
    capsys: pytest.CaptureFixture[str], name: str, lines: list[str]
) -> None:
    assert main([name]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    for line in lines:
        assert f"    {line}" in said.out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["agent", "chek", "--json"], "lineside agent has no command 'chek'. Did you mean 'check'?"),
        (["sensor", "lst"], "lineside sensor has no command 'lst'. Did you mean 'list'?"),
        (["sensor", "xyz"], "lineside sensor has no command 'xyz'. See `lineside sensor --help`."),
    ],
)
def test_an_unknown_command_of_a_command(
    capsys: pytest.CaptureFixture[str], typed: list[str], message: str
) -> None:
    assert main(typed) == 2
    assert capsys.readouterr().err == f"lineside: {message}\n"


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("paho", ["watch"], "agent"),
        ("onnx", ["export", "nothing.skops", "--data", "rows.csv"], "export"),
        ("onnxruntime", ["inspect", "nothing.zip"], "agent"),
        (
            "paho",
            ["collector", "run", "--broker", "mqtt://localhost", "--site", "s", "--store", "x.sqlite"],
            "collector",
        ),
    ],
)
def test_a_missing_extra_is_named(package: str, arguments: list[str], extra: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert result.stderr == (
        f"lineside: `lineside {arguments[0]}` needs the package {package}, which is not installed. "
        f"Run: pip install 'lineside[{extra}]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_ours_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "watch", COMMANDS["watch"]._replace(module="lineside_cli.nowhere"))
    with pytest.raises(ModuleNotFoundError, match=r"lineside_cli\.nowhere"):
        main(["watch"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("This is wrong.", hint="Do that."), 2, "lineside: This is wrong. Do that.\n"),
        (NotDelivered("It is not there."), 1, "lineside: It is not there.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("lineside_cli.watch.run", fail)
    assert main(["watch"]) == code
    assert capsys.readouterr() == ("", said)


def test_help_into_a_closed_pipe_is_quiet() -> None:
    command = f"set -o pipefail; {sys.executable} -m lineside_cli.main --help | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [(">&-", 0, ""), (">/dev/full", 1, "there is no room"), ("| head -1", 0, "")],
)
def test_an_output_that_takes_nothing_is_no_traceback(redirection: str, code: int, said: str) -> None:
    command = f"set -o pipefail; {sys.executable} -m lineside_cli.main --help {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "m.skops", "--data", "rows.csv", "-o", f"{'x' * 300}-1.0.0.bundle.zip"],
        ["collector", "devices", "--store", "x" * 300],
        ["agent", "install", "--user", "--print", "--config", "x" * 300],
    ],
)
def test_a_name_that_is_too_long_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"lineside: The file name {'x' * 40}... is too long")


def test_a_mistyped_benchmark_is_no_bundle(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "outag"]) == 2
    said = "lineside: outag is neither a benchmark nor a bundle that is there. Did you mean 'outage'?\n"
    assert capsys.readouterr().err == said
    Path("outag").touch()
    assert main(["bench", "outag"]) == 2
    assert "outag is not a bundle" in capsys.readouterr().err
