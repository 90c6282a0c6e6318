# What the other files share: the plan of the experiment, which says what every job reads and is given, and paths.
import ddecli
from ddecli.workflow.jobs import Jobs, SampleJobs, TrainJobs
from ddecli.workflow.plan import Plan
from ddecli.workflow.report import ExperimentDescription, FigureJobs

VERSION = ddecli.__version__
RUN = "<results>/runs/{model}/{run}/seed-{seed}"
FOLDER = "<results>/images/{model}/{trained}/{split}"
PLAN = Plan(config)
FIGURES = FigureJobs(PLAN)


wildcard_constraints:
    model="[^/]+",
    run="[^/]+|(grid|regime)/[^/]+",
    seed=r"\d+",
    trained=r"base|[^/]+/seed-\d+|grid/[^/]+/seed-\d+",
    split="test|classes|validation|second-guidance",
    loss="[a-z-]+",
