"""What some machines tell about themselves under /proc, /sys and /etc: trees for the readers to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CPU = "sys/devices/system/cpu"


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Writes the files below ``root``, and returns it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def core(number: int, siblings: str, package: int, caches: Mapping[str, tuple[str, str, str, str]]) -> dict[str, str]:
    """A core's topology and caches, these as level, type, size and who shares it."""
    folder = f"{CPU}/cpu{number}"
    files = {
        f"{folder}/topology/physical_package_id": f"{package}\n",
        f"{folder}/topology/core_cpus_list": f"{siblings}\n",
        f"{folder}/topology/thread_siblings_list": f"{siblings}\n",
    }
    for index, (level, kind, size, shared) in caches.items():
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            files[f"{folder}/cache/{index}/{name}"] = f"{text}\n"
    return files


XEON_FLAGS = (
    "fpu vme sse2 ss ht syscall nx lm constant_tsc ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx f16c avx2 avx512f "
    "avx512dq avx512bw avx512vl avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8"
)

_XEON_CORE = """\
processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
stepping\t: 8
microcode\t: 0x2b000603
cpu MHz\t\t: {mhz}
cache size\t: 107520 KB
physical id\t: 0
flags\t\t: {flags}
vmx flags\t: vnmi preemption_timer avx512f_of_another_line
bugs\t\t: spectre_v1
"""


def xeon(mhz: str = "3097.214", flags: str = XEON_FLAGS, free_kb: int = 60_000_000) -> dict[str, str]:
    """A server of two cores with SMT; ``mhz`` and ``free_kb`` are of the moment."""
    files = {
        "proc/cpuinfo": "\n".join(_XEON_CORE.format(number=n, mhz=mhz, flags=flags) for n in range(4)),
        "proc/meminfo": f"MemTotal:       65536000 kB\nMemFree:        {free_kb} kB\n",
        "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "proc/sys/kernel/arch": "x86_64\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n',
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
        "sys/class/dmi/id/product_name": "PowerEdge R660\n",
        f"{CPU}/intel_pstate/no_turbo": "0\n",
        f"{CPU}/online": "0-3\n",
        f"{CPU}/cpuidle/current_driver": "intel_idle\n",
    }
    for number in range(4):
        pair = f"{number % 2},{number % 2 + 2}"
        caches = {
            "index0": ("1", "Data", "48K", pair),
            "index1": ("1", "Instruction", "32K", pair),
            "index2": ("2", "Unified", "2048K", pair),
            "index3": ("3", "Unified", "105M", "0-3"),
        }
        files |= core(number, pair, 0, caches)
        frequency = f"{CPU}/cpu{number}/cpufreq"
        files |= {
            f"{frequency}/base_frequency": "2700000\n",
            f"{frequency}/cpuinfo_max_freq": "3800000\n",
            f"{frequency}/scaling_cur_freq": f"{round(float(mhz) * 1000)}\n",
            f"{frequency}/scaling_governor": "performance\n",
            f"{frequency}/energy_performance_preference": "performance\n",
        }
    return files


_PI_CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""


def raspberry_pi() -> dict[str, str]:
    """A Raspberry Pi 5."""
    files = {
        "proc/cpuinfo": "\n".join(_PI_CORE.format(number=n) for n in range(4))
        + "\nRevision\t: d04170\nSerial\t\t: 0000000000000000\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
        "proc/meminfo": "MemTotal:        8255376 kB\nMemFree:         6000000 kB\n",
        "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    }
    for number in range(4):
        caches = {
            "index0": ("1", "Data", "64K", str(number)),
            "index1": ("1", "Instruction", "64K", str(number)),
            "index2": ("2", "Unified", "512K", str(number)),
            "index3": ("3", "Unified", "2048K", "0-3"),
        }
        files |= core(number, str(number), 0, caches)
        frequency = f"{CPU}/cpu{number}/cpufreq"
        files |= {
            f"{frequency}/cpuinfo_min_freq": "1500000\n",
            f"{frequency}/cpuinfo_max_freq": "2400000\n",
            f"{frequency}/scaling_cur_freq": "1500000\n",
            f"{frequency}/scaling_governor": "ondemand\n",
        }
    return files


def big_and_little() -> dict[str, str]:
    """An ARM board whose cores differ."""
    little = _PI_CORE.replace("0xd0b", "0xd05")
    lines = [little.format(number=n) for n in range(4)] + [_PI_CORE.format(number=n) for n in range(4, 6)]
    files = {"proc/cpuinfo": "\n".join(lines), "proc/device-tree/model": "Radxa ROCK 5B\0"}
    for number in range(6):
        files |= core(number, str(number), -1, {})
        files[f"{CPU}/cpu{number}/cpufreq/cpuinfo_max_freq"] = "1800000\n" if number < 4 else "2400000\n"
        files[f"{CPU}/cpu{number}/cpufreq/scaling_governor"] = "schedutil\n" if number < 4 else "performance\n"
    return files


def guest(vendor: str = "QEMU", product: str = "Standard PC (Q35 + ICH9, 2009)") -> dict[str, str]:
    """A virtual server in a container, with what its maker calls it."""
    files = xeon(flags=f"{XEON_FLAGS} hypervisor")
    files = {name: text for name, text in files.items() if "cpufreq" not in name and "pstate" not in name}
    return files | {
        "sys/class/dmi/id/sys_vendor": f"{vendor}\n",
        "sys/class/dmi/id/product_name": f"{product}\n",
        "proc/1/cgroup": "0::/kubepods/besteffort/pod1/abc\n",
    }


NOTHING: dict[str, str] = {}
"""A container that exposes nothing."""


def hybrid() -> dict[str, str]:
    """A notebook of six fast cores with SMT and eight slow ones, the slow ones with the highest numbers."""
    files = {"sys/devices/cpu_core/cpus": "0-11\n", "sys/devices/cpu_atom/cpus": "12-19\n"}
    for number in range(20):
        pair = f"{number // 2 * 2}-{number // 2 * 2 + 1}" if number < 12 else str(number)
        files |= core(number, pair, 0, {})
        files[f"{CPU}/cpu{number}/cpufreq/cpuinfo_max_freq"] = "4700000\n" if number < 12 else "3500000\n"
    return files


def processor_times(busy: Mapping[int, int], idle: int = 100_000) -> str:
    """/proc/stat of cores that were busy for so many ticks."""
    rows = "".join(f"cpu{core} {ticks} 0 0 {idle} 0 0 0 0 0 0\n" for core, ticks in busy.items())
    return f"cpu  1 0 0 1 0 0 0 0 0 0\n{rows}intr 1 0\n"
