"""What a machine is, what its tests say, and a JSON file that a killed run leaves whole."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from xml.etree import ElementTree

import torch

import skuae

ROOT = Path(__file__).parents[1]


class Report:
    """A JSON file with the results of parts, each a list of cases, written anew after every case.

    Parameters
    ----------
    path : Path
    budget_s : float
        Cases that would not end within this time are not begun. None is expected to take longer
        than the longest so far of its part.
    **facts : dict
        What stands in the file besides.
    """

    def __init__(self, path, budget_s, **facts):
        self.path = path
        self.start = time.perf_counter()
        self.budget_s = budget_s
        self.content = {**facts, "seconds": {}}
        self.write()

    @property
    def seconds_left(self):
        """Seconds left of the budget."""
        return self.budget_s - (time.perf_counter() - self.start)

    def run(self, part, case, measure):
        """Add a case to a part: what `measure` returns, or why it returned nothing.

        Parameters
        ----------
        part : str
        case : dict
            What the case is.
        measure : callable
            Returns a dict.
        """
        cases = self.content.setdefault(part, [])
        longest = max((c.get("seconds", 0) for c in cases), default=0)
        start = time.perf_counter()
        if self.seconds_left <= longest:
            found = {"not_run": f"{self.seconds_left:.0f} s left of {self.budget_s:.0f}"}
        else:
            try:
                found = measure()
            except Exception as error:  # of whatever kind: the other cases are still worth having
                where = traceback.format_exc(limit=-3)
                found = {"error": f"{type(error).__name__}: {error}"[:2000], "traceback": where}
        seconds = time.perf_counter() - start
        cases.append({**case, **found, "seconds": round(seconds, 2)})
        total = self.content["seconds"]
        total[part] = round(total.get(part, 0) + seconds, 2)
        total["all"] = round(time.perf_counter() - self.start, 2)
        self.write()
        print(part, *(f"{k}={_short(v)}" for k, v in cases[-1].items()), flush=True)

    def write(self):
        """Replace the file."""
        part = self.path.with_name(f"{self.path.name}.part")
        part.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.path)


def _short(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).splitlines()[-1][:200] if str(value) else value


def facts_of_machine(device):
    """Return what the machine is, and what runs on it.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    dict
    """
    facts = {
        "device": str(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "float32_products": torch.get_float32_matmul_precision(),
        "python": platform.python_version(),
        "cpu_cores": os.cpu_count(),
        "skuae": skuae.__version__,
        "commit": _output("git", "-C", ROOT, "rev-parse", "HEAD"),
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        query = "--query-gpu=driver_version", "--format=csv,noheader"
        facts["gpu"] = gpu.name
        facts["gpu_memory_mb"] = gpu.total_memory >> 20
        facts["driver"] = _output("nvidia-smi", *query)
    return facts


def _output(*command):
    """Return what a program says, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def run_tests(timeout):
    """Run the tests marked gpu.

    Parameters
    ----------
    timeout : float
        Seconds.

    Returns
    -------
    dict
        Counts, and the end of what each failure says.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
        # A test file that needs a package which is not there is an error; others still run.
        command += ["--continue-on-collection-errors", f"--junitxml={results}", "tests"]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, timeout=timeout,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not results.exists():
            raise RuntimeError(f"pytest wrote no results: {(done.stdout + done.stderr)[-1500:]}")
        suite = ElementTree.parse(results).getroot().find("testsuite")
    n = {kind: int(suite.get(kind)) for kind in ("tests", "failures", "errors", "skipped")}
    failures = {
        f"{test.get('classname')}.{test.get('name')}": fault.text[-1500:]
        for test in suite
        for fault in [*test.findall("failure"), *test.findall("error")]
    }
    return {
        "passed": n["tests"] - n["failures"] - n["errors"] - n["skipped"],
        "failed": n["failures"],
        "errors": n["errors"],
        "skipped": n["skipped"],
        "failures": failures,
    }
