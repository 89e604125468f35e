# noqa: INP001 - a program, no package
"""The part of deploy/demo that builds the chain, watches it, and ends all of it. deploy/demo documents the options."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from demo_parts import place as places
from demo_parts.cast import NAMES
from demo_parts.errors import DemoError
from demo_parts.faults import Faults
from demo_parts.page import Page
from demo_parts.place import Place
from demo_parts.progress import say, say_where
from demo_parts.world import World
from localchain.condition import until
from localchain.errors import LocalChainError

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE: Final = Path(__file__).resolve().parents[1]
_DEFAULT_PORT: Final = 8900
#: As quickstart takes it, and the page's own.
_PORTS: Final = range(1024, 65533)
#: s. Against a hang: a start takes half a minute on a small machine.
_READY_S: Final = 300.0
_STOP_S: Final = 60.0
#: Other characters have a meaning in the configurations of SoftHSM, nodeos or the signer.
_FOLDER: Final = re.compile(r"/[A-Za-z0-9._/+@:~-]+", re.ASCII)


def main() -> int:
    """Run, and return the exit code."""
    arguments = _arguments()
    os.umask(0o022)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # a shell's `&` may have left SIGINT ignored
        signal.signal(number, _interrupt)
    place = Place(arguments.dir)
    try:
        if arguments.stop:
            return _stop(place)
        if arguments.detach:
            return _detach(place, json_wanted=arguments.json)
        return _run(place, arguments)
    except DemoError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("deploy/demo", description="See deploy/demo --help.", add_help=False)
    parser.add_argument("--dir", type=_folder, default=_CLONE / ".demo")
    parser.add_argument("--port", type=_number(_PORTS), default=_DEFAULT_PORT)
    parser.add_argument("--producers", type=_number(range(1, len(NAMES) + 1)), default=4)
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-browser", action="store_true")
    return parser.parse_args()


def _folder(text: str) -> Path:
    path = Path(os.path.normpath(Path(text).absolute()))
    if _FOLDER.fullmatch(str(path)) is None:
        raise argparse.ArgumentTypeError(
            f"takes a path of letters, digits and . _ - + @ : ~ only, not {text}"
        )
    if len(os.fsencode(path)) > places.MAX_FOLDER_BYTES:
        raise argparse.ArgumentTypeError(
            f"takes a path of at most {places.MAX_FOLDER_BYTES} bytes, because of the sockets in it; not {path}"
        )
    return path


def _number(allowed: range) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or int(text) not in allowed:
            raise argparse.ArgumentTypeError(f"takes a number from {allowed[0]} to {allowed[-1]}, not {text}")
        return int(text)

    return parse


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(place: Place, arguments: argparse.Namespace) -> int:
    """Build everything, carry out what the page asks for until somebody ends it, and remove everything."""
    page_port = arguments.port + 3
    page = Page(page_port)  # first of all: it tells whether the port is free
    world = World(place, arguments.port, arguments.producers)
    code = 0
    try:
        world.build()
        faults = Faults(world)
        page.show(world, faults)
        about = world.about() | {"faults_url": page.url, "faults": sorted(faults.names)}
        place.write_about(about)
        say_where(about, to=sys.stderr if arguments.json else sys.stdout)
        if arguments.json:
            sys.stdout.write(json.dumps(about, indent=2) + "\n")
            sys.stdout.flush()
        if not arguments.no_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(about["dashboard_url"])
        say("all of it runs; Ctrl-C ends and removes it")
        while True:
            page.carry_out_one()
            world.look()
    except KeyboardInterrupt:
        say("ending and removing everything")
    except (DemoError, LocalChainError) as error:
        say(str(error))
        code = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _patience)
        page.close()
        world.end()
    say("nothing is left")
    return code


def _patience(_number: int, _frame: object) -> None:
    say("it is ending already; a moment")


def _detach(place: Place, *, json_wanted: bool) -> int:
    """Start another one of this program without `--detach`, and wait until it says that everything runs."""
    place.refuse_unless_free()
    words = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]
    log = place.log_beside
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, __file__, *words, "--no-browser"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    say(f"process {child.pid} builds it; its progress is in {log}")
    until(
        lambda: child.poll() is not None or place.about.exists(),
        "the demo runs",
        timeout_s=_READY_S,
        interval_s=0.1,
    )
    if not place.about.exists():
        sys.stderr.write(log.read_text(errors="replace"))
        log.unlink()
        raise DemoError("it did not start; the lines above say why")
    about = json.loads(place.about.read_text(encoding="utf-8"))
    say_where(about, to=sys.stderr if json_wanted else sys.stdout)
    if json_wanted:
        sys.stdout.write(json.dumps(about, indent=2) + "\n")
    say(f"to end and remove it: deploy/demo --dir {place.folder} --stop")
    return 0


def _stop(place: Place) -> int:
    """End the demo of this folder, or remove what one that was killed has left."""
    pid = place.runs_as
    if pid is None and not place.is_ours:
        say(f"no demo runs on {place.folder}")
        return 0
    if pid is None:
        World.clean(place)
    else:
        os.kill(pid, signal.SIGTERM)
        until(lambda: place.runs_as is None, f"process {pid} has ended", timeout_s=_STOP_S, interval_s=0.1)
    place.log_beside.unlink(missing_ok=True)
    if place.folder.exists():
        raise DemoError(f"{place.folder} is still there; look what is in it, then remove it")
    say("nothing is left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
