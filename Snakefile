"""The paper, rebuilt.

    snakemake --cores all                                                the tiny world: a laptop, under an hour
    snakemake --cores all --configfile workflow/config/paper.yaml        Stable Diffusion 1.5 and XL: a cluster
    snakemake --cores all grid                                           choose beta and learning rate anew

A configuration file says what is compared; workflow/profiles say on which machines. Everything that is reported
goes to <paper>, everything it was made from to <results>; both are set by the configuration.
"""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version, validate

from ddecli.core.errors import UserError
from ddecli.workflow.check import check_experiment
from ddecli.workflow.forkserver import WORKFLOW, this_workflow
from ddecli.workflow.keys import check_keys
from ddecli.workflow.times import STARTED

min_version("9.10")

# Not a plain `configfile:`, which a configuration of one's own would be merged into.
if "models" not in config:

    configfile: f"{workflow.basedir}/workflow/config/tiny.yaml"


# What is wrong with it is said now, in a sentence, and not by a job that fails after hours.
try:
    check_keys(config, f"{workflow.basedir}/workflow/schemas/config.schema.yaml", workflow.configfiles)
    validate(config, "workflow/schemas/config.schema.yaml")  # fills in defaults
    check_experiment(config, workflow.configfiles)
except UserError as error:
    sys.exit(f"Error: {error}")


report: "workflow/report/workflow.rst"


container: "workflow/envs/ddecli.sif"


# The commands of this workflow share the cost of starting.
os.environ.setdefault(WORKFLOW, this_workflow())

# In every command, `logged LOG` keeps its output, also that of attempts that failed, and `on_gpus COUNT` gives it GPUs.
shell.prefix('. "%s/workflow/scripts/jobs.sh"; ' % workflow.basedir)


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/choose.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


# For the time that the whole took, if it is run in one go.
onstart:
    Path(config["pathvars"]["benchmarks"]).mkdir(parents=True, exist_ok=True)
    Path(config["pathvars"]["benchmarks"], STARTED).touch()


rule all:
    default_target: True
    input:
        "<paper>/reproduction.md",
        "<paper>/manifest.json",
        PLAN.table_files(),
        FIGURES.files(),
