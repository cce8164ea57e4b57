# Runs every server scenario of the official MCP conformance suite against a URL and prints the status of each check
# as one JSON object, the same bytes each time: {"scenario": {"check-id#k": "SUCCESS"}}. What failed and why: stderr.
#
# conformance.py --node NODE --peers DIR --url URL     NODE is version 22 or later; DIR has node_modules
import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

AT_A_TIME = 4
SECONDS = 60

options = argparse.ArgumentParser()
for name in ("--node", "--peers", "--url"):
    options.add_argument(name, required=True)
options = options.parse_args()
suite = [options.node, f"{options.peers}/node_modules/@modelcontextprotocol/conformance/dist/index.js"]


def run(scenario):
    with tempfile.TemporaryDirectory() as folder:
        command = [*suite, "server", "--url", options.url, "--scenario", scenario, "-o", folder]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return {"not run": f"no end after {SECONDS} s"}
        files = list(Path(folder).glob("*/checks.json"))
        if len(files) != 1:
            print(f"{scenario}: {ended.stdout}{ended.stderr}", file=sys.stderr)
            return {"not run": f"exit code {ended.returncode} and no checks"}
        seen, statuses = Counter(), {}
        for check in json.loads(files[0].read_text()):
            seen[check["id"]] += 1
            statuses[f"{check['id']}#{seen[check['id']]}"] = check["status"]
            if check["status"] in ("FAILURE", "WARNING"):
                print(f"{scenario}: {check['id']}: {check.get('errorMessage')}", file=sys.stderr)
        return statuses or {"not run": "no checks"}


# The list has all suites, the pending one too.
listed = subprocess.run([*suite, "list", "--server"], capture_output=True, text=True, check=True).stdout
scenarios = [line.split()[1] for line in listed.splitlines() if line.startswith("  - ")]
with ThreadPoolExecutor(AT_A_TIME) as pool:
    results = dict(zip(scenarios, pool.map(run, scenarios)))
print(json.dumps(results, indent=2, sort_keys=True))
