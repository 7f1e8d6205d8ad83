#!/usr/bin/env bash
# Ray: with log_to_driver=False, lines that begin with (raylet) still appear on the driver's standard output, a page
# of them when a worker or a node dies. That option stops what workers print; errors come by another thread, which
# no option of ray.init stops. A program whose standard output is data (JSON, a table) gets them among it.
#
# Seen with Ray 2.60.0. It fails if standard output holds nothing but the program's own line.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0

cat > "$folder/program.py" <<'PYTHON'
import os
import signal
import time

import ray

ray.init(address="local", num_cpus=1, log_to_driver=False, logging_level="ERROR", include_dashboard=False)


@ray.remote(max_restarts=0)
class Actor:
    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


try:
    ray.get(Actor.remote().die.remote())
except ray.exceptions.ActorDiedError:
    time.sleep(3)
    print('{"answer": 42}')
PYTHON

"$folder/venv/bin/python" "$folder/program.py" > "$folder/output" 2> "$folder/errors"
echo "standard output of a program that prints one line of JSON, with log_to_driver=False:"
cut -c1-110 "$folder/output"
if ! grep -q '(raylet)' "$folder/output"; then
    echo "changed: no line of the raylet on standard output"
    exit 1
fi
echo "as described: the raylet's lines are on standard output"
