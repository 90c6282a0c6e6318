"""The paper, rebuilt.

    snakemake --cores all                                                the tiny world: a laptop, under an hour
    snakemake --cores all --configfile workflow/config/paper.yaml        Stable Diffusion 1.5 and XL: a cluster
    snakemake --cores all grid                                           choose beta and learning rate anew

A configuration file says what is compared; workflow/profiles say on which machines. Everything that is reported
goes to <paper>, everything it was made from to <results>; both are set by the configuration.
"""

from snakemake.utils import min_version, validate

min_version("9.10")

# Not a plain `configfile:`, which a configuration of one's own would be merged into.
if "models" not in config:

    configfile: f"{workflow.basedir}/workflow/config/tiny.yaml"


validate(config, "workflow/schemas/config.schema.yaml")


report: "workflow/report/workflow.rst"


container: "workflow/envs/ddecli.sif"


# In every command, `on_gpus COUNT` gives it GPUs of its own.
shell.prefix('on_gpus() {{ bash "%s/workflow/scripts/on_gpus.sh" "$@"; }}; ' % workflow.basedir)


include: "workflow/rules/common.smk"
include: "workflow/rules/arguments.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/choose.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        "<paper>/reproduction.md",
        "<paper>/manifest.json",
        TABLES,
        FIGURES,
