"""Writes one look at the results of an A/B test into a W&B run; reads it as JSON from stdin.

Run by `tiebreak publish --to wandb`. W&B has no API for this outside of its Python package, whose
own settings apply: WANDB_API_KEY, WANDB_BASE_URL, WANDB_MODE=offline, WANDB_DIR.
"""

import json
import sys

try:
    import wandb
except ImportError:
    sys.exit("the Python package 'wandb' is not installed; `pip install wandb`, or say with "
             "--python which interpreter has it")

look = json.load(sys.stdin)
run = wandb.init(
    project=look["project"],
    entity=look["entity"],
    id=look["id"],
    name=look["name"],
    resume="allow",
    config=look["parameters"],
    settings=wandb.Settings(silent=True),
)
# Outcomes only grow, so a later look has a later step, also across offline runs.
run.log(look["numbers"], step=look["step"])
run.summary.update(look["summary"])
where = run.url or run.dir
run.finish()
print(where)
