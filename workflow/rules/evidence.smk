# What the article is judged by, and the description of the experiment that `ddecli report` reads.


def everything(wildcards):
    """All scores, Inception Scores and runs that the claims are judged by."""
    found = []
    for model in MODELS:
        found += scores(model, ["base", *methods(config, model)]) + credits(model, methods(config, model))
        found += credits(model, regime_runs(config, model))
        found += [f"{folder}/scores.parquet" for given in second_guidance(model).values() for folder in given]
    return found + (measured(4) if 4 in config["tables"] else []) + list(experiment_grids(wildcards).values())


def second_guidance(model):
    """Folders of images at a model's second guidance scale, of the base and every method; empty without one."""
    rows = ["base", *REPORTED[model]] if MODELS[model].get("second-guidance") else []
    return {run: second_images(model, run) for run in rows}


def experiment_models(wildcards):
    """The models section of the experiment's description: folders by role."""
    found = {}
    for model, settings in MODELS.items():
        found[model] = {
            "paper": settings.get("paper"),
            "methods": {
                run: {"label": method["label"], "loss": method["loss"]}
                for run, method in settings["methods"].items()
            },
            "scores": {run: images(model, [run]) for run in ["base", *REPORTED[model]]},
            "runs": {run: run_folders(model, [run]) for run in REPORTED[model]},
        }
        if settings.get("segments"):
            parts = settings["segments"]["ranges"]
            found[model]["segments"] = {
                part: images(model, [segment_run(config, model, part)]) for part in parts
            }
        if settings.get("regime"):
            regime = regime_runs(config, model)
            found[model]["regime"] = {
                loss: run_folders(model, [run for run in regime if regime[run].loss == loss])
                for loss in settings["regime"]["losses"]
            }
        if settings.get("second-guidance"):
            found[model]["second_guidance"] = second_guidance(model)
        if model in config["tables"].get(4, {}):
            after = config["tables"][4][model]
            found[model]["inception"] = {run: images(model, [run], "classes") for run in ("base", after)}
    return found


def experiment_grids(wildcards):
    """The records that beta and learning rate were chosen from, by model."""
    chosen = {
        model: settings["choices"] for model, settings in MODELS.items() if settings["choices"] != "recipe"
    }
    return {
        model: f"{RESULTS}/grid/{model}.json" if given == "grid" else given for model, given in chosen.items()
    }


def experiment_figures(wildcards):
    return [{"file": f"figures/{name}.png", "title": picture["title"]} for name, picture in PICTURES.items()]
