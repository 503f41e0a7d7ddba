"""What a Raspberry Pi's kernel tells of its processor.

Under user-mode emulation this machine's own /proc/cpuinfo would show through, and onnxruntime, which reads it on ARM,
crashes on what x86 writes there. The values are those of the boards' documented cores and caches.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_FEATURES = "fp asimd evtstrm crc32 cpuid"
_FEATURES_8_2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)


class Cache(NamedTuple):
    level: int
    kind: str
    size: str
    shared: bool = False


class Board(NamedTuple):
    """`core` is what QEMU calls it; `part`, `variant` and `revision` are how it names itself."""

    core: str
    part: str
    variant: str
    revision: int
    features: str
    max_khz: int
    caches: tuple[Cache, ...]


BOARDS = {
    "pi4": Board(
        core="cortex-a72",
        part="0xd08",
        variant="0x0",
        revision=3,
        features=_FEATURES,
        max_khz=1_800_000,
        caches=(Cache(1, "Data", "32K"), Cache(1, "Instruction", "48K"), Cache(2, "Unified", "1024K", True)),
    ),
    "pi5": Board(
        core="cortex-a76",
        part="0xd0b",
        variant="0x4",
        revision=1,
        features=_FEATURES_8_2,
        max_khz=2_400_000,
        caches=(
            Cache(1, "Data", "64K"),
            Cache(1, "Instruction", "64K"),
            Cache(2, "Unified", "512K"),
            Cache(3, "Unified", "2048K", True),
        ),
    ),
}
_CORES = 4


def write_board(name: str, folder: Path) -> None:
    """Write `cpuinfo` and `sys`, to be mounted over /proc/cpuinfo and /sys."""
    board = BOARDS[name]
    cpus = folder / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    (folder / "cpuinfo").write_text(
        "".join(
            f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {board.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: {board.variant}\n"
            f"CPU part\t: {board.part}\nCPU revision\t: {board.revision}\n\n"
            for core in range(_CORES)
        )
        + f"Model\t\t: Raspberry Pi {name[2:]} (emulated)\n"
    )
    everyone = f"0-{_CORES - 1}"
    _write(cpus, {"kernel_max": "255", "possible": everyone, "present": everyone, "online": everyone})
    for core in range(_CORES):
        one = cpus / f"cpu{core}"
        _write(one / "cpufreq", {"cpuinfo_max_freq": board.max_khz, "cpuinfo_min_freq": 600_000})
        siblings = ("core_siblings_list", "package_cpus_list", "cluster_cpus_list")
        threads = ("thread_siblings_list", "core_cpus_list")
        _write(
            one / "topology",
            {"physical_package_id": 0, "cluster_id": 0, "core_id": core}
            | dict.fromkeys(siblings, everyone)
            | dict.fromkeys(threads, core),
        )
        for index, cache in enumerate(board.caches):
            _write(
                one / f"cache/index{index}",
                {
                    "level": cache.level,
                    "type": cache.kind,
                    "size": cache.size,
                    "shared_cpu_list": everyone if cache.shared else core,
                    "coherency_line_size": 64,
                },
            )


def _write(folder: Path, values: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
