# Every figure of the paper folder: its kind, and the images or runs that it shows.

FIRST, *OTHERS = MODELS
REPORTED = {model: list(MODELS[model]["methods"]) for model in MODELS}
CORRECTED = [run for run in REPORTED[FIRST] if MODELS[FIRST]["methods"][run]["loss"] in ("dde", "dde-step")]


def segment_runs():
    return [segment_run(config, FIRST, part) for part in MODELS[FIRST]["segments"]["ranges"]]


def full_range():
    """The run on all timesteps with the loss of the segments."""
    loss = MODELS[FIRST]["segments"]["loss"]
    return next(run for run in REPORTED[FIRST] if MODELS[FIRST]["methods"][run]["loss"] == loss)


def figure_table():
    """Every figure: its kind, its rows (scored images or runs), its title and caption."""
    losses = [run for run in REPORTED[FIRST] if MODELS[FIRST]["methods"][run]["loss"] != "sft"]
    found = {
        "beat-ratios": {
            "images": (FIRST, ["base", *REPORTED[FIRST]]),
            "title": "Beat ratios over the base model",
        },
        "coefficients": {
            "options": {"model": MODELS[FIRST]["source"]},
            "title": "Coefficients by timestep",
        },
        "curves": {"runs": (FIRST, REPORTED[FIRST]), "title": "Training curves"},
        "images": {
            "images": (FIRST, ["base", *REPORTED[FIRST]]),
            "title": f"{FIRST}: images side by side",
        },
    }
    if losses:
        found["log-sigmoid"] = {
            "runs": (FIRST, losses),
            "title": "Where the logits lie on the log-sigmoid",
        }
        found["credit"] = {
            "runs": (FIRST, losses),
            "title": "Credit map: gradient weight by timestep",
        }
    if CORRECTED:
        found["corrections"] = {
            "runs": (FIRST, CORRECTED),
            "title": "Correction terms and their convergence",
        }
    if MODELS[FIRST].get("segments"):
        found["segments"] = {
            "images": (FIRST, ["base", full_range(), *segment_runs()]),
            "title": "Training on parts of the trajectory",
            "options": {"metric": MODELS[FIRST]["score"].get("metric", [])},
        }
    for model in MODELS:
        regime = list(regime_runs(config, model))
        if regime:
            found["credit-steps" if model == FIRST else f"credit-steps-{model}"] = {
                "kind": "credit-steps",
                "runs": (model, regime),
                "title": f"{model}: credit over training, until logits saturate",
            }
    for model in OTHERS:
        found[f"images-{model}"] = {
            "kind": "images",
            "images": (model, ["base", *REPORTED[model]]),
            "title": f"{model}: images side by side",
        }
        found[f"beat-ratios-{model}"] = {
            "kind": "beat-ratios",
            "images": (model, ["base", *REPORTED[model]]),
            "title": f"{model}: beat ratios over the base model",
        }
    return found


def figure_paths(wildcards):
    """What a figure of a model alone reads."""
    model = PICTURES[wildcards.name].get("options", {}).get("model")
    return model_paths(model) if model else []


def figure_inputs(wildcards):
    picture = PICTURES[wildcards.name]
    if "images" in picture:
        return scores(*picture["images"])
    return credits(*picture["runs"]) if "runs" in picture else files_of(figure_paths(wildcards))


def figure_rows(wildcards):
    """LABEL=FOLDER arguments; side by side stand the images of one training of each method, the first."""
    picture = PICTURES[wildcards.name]
    if figure_kind(wildcards) == "images":
        model, runs = picture["images"]
        return shlex.join(f"{label(model, run)}={images(model, [run])[0]}" for run in runs)
    if "images" in picture:
        return rows(*picture["images"], images(*picture["images"]))
    return rows(*picture["runs"], run_folders(*picture["runs"])) if "runs" in picture else ""


def figure_kind(wildcards):
    return PICTURES[wildcards.name].get("kind", wildcards.name)


def figure_options(wildcards):
    picture = PICTURES[wildcards.name]
    return flags({"title": picture["title"]} | picture.get("options", {}))


PICTURES = figure_table()
FIGURES = collect("<paper>/figures/{name}.{suffix}", name=PICTURES, suffix=["png", "pdf", "json"])
