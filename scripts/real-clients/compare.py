"""compare.py METRON NAME CLIENT_FILE MOCK_TOKENS: TTFT and TBT as a client's file has them, and as the mock
server sent them. The first requests of the mock's file may be the client's warm-up."""

import json
import subprocess
import sys

metron, name, client, mock = sys.argv[1:5]


def figures(file):
    said = subprocess.run([metron, "evaluate", file, "--format", "json", "-q"],
                          capture_output=True, text=True, check=True).stdout
    run = json.loads(said)["runs"][0]
    tbt = (run.get("tbt_s") or {}).get("p50")
    return run["requests"]["completed"], run["ttft_s"]["p50"], tbt, run["e2e_s"]["p50"]


one, other = figures(client), figures(mock)
ms = lambda value: "-" if value is None else f"{value * 1e3:.2f}"
print(f"{name:16} {'completed':>9} {'TTFT P50':>9} {'TBT P50':>9} {'e2e P50':>9}  (ms)")
for what, row in [("client's file", one), ("mock sent", other)]:
    print(f"  {what:14} {row[0]:>9} {ms(row[1]):>9} {ms(row[2]):>9} {ms(row[3]):>9}")
