#!/usr/bin/env python3
"""Every optimiser on three shipped jobs: steps and seconds until the training loss is at a bar, as a Markdown table.

Run from the root of the repository after `cargo build --release`; nothing else may run on the machine.
"""
import json
import pathlib
import re
import subprocess
import tempfile

BINARY = pathlib.Path("target/release/lumigrad").resolve()
STEPS, LIMIT = 500, 40  # steps, and seconds of them
# Job, its flags, the bar.
JOBS = [
    ("texture", ["scenes/texture.toml", "--size", "96x96", "--views", "16"], 0.01),
    ("shape", ["scenes/shape.toml", "--size", "96x96", "--set", "remesh=false"], 0.004),
    ("pose", ["scenes/cameras.toml", "--size", "96x96", "--loss", "l2", "--perturb-cameras", "3,3"], 2e-4),
]


def optimisers():
    """Names, in the order of the registry, from the message that lists them."""
    wrong = subprocess.run([BINARY, "optimize", "--optimizer", "?"], capture_output=True, text=True)
    return re.search(r"is not one of (.*?)(?:, did you mean|\n|$)", wrong.stderr).group(1).split(", ")


def cell(flags, bar, name):
    with tempfile.TemporaryDirectory() as folder:
        limits = ["--iterations", str(STEPS), "--seconds", str(LIMIT), "--stop-loss", str(bar)]
        command = [BINARY, "run", *flags, *limits, "--optimizer", name, "--device", "cpu",
                   "--out", f"{folder}/run", "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "fails"
    result = json.loads(done.stdout)
    last = result["history"][-1] if result["history"] else {"seconds": 0}
    seconds = max(last["seconds"], 1e-3 * result["metrics"]["ms_per_iteration"] * result["iterations"])
    loss = result["metrics"]["loss"]
    return f"{result['iterations']} steps, {seconds:.1f} s" if loss <= bar else f"not reached ({loss:.1e})"


print("| optimiser | " + " | ".join(f"{job} to {bar:g}" for job, _, bar in JOBS) + " |")
print("|---|" + "---|" * len(JOBS))
for name in optimisers():
    print(f"| `{name}` | " + " | ".join(cell(flags, bar, name) for _, flags, bar in JOBS) + " |", flush=True)
