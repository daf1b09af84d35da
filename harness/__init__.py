"""An experiment in knowledge fusion: from a suite to a verdict on what the fused model gained and lost.

The rooms, from the top floor down. A room imports only from floors below its own; docs/architecture.md has
the picture, and what must never be in a room stands in the room's own `__init__`.

    commands     the command line: options, help texts, exit codes
    console      what a person sees in the terminal
    experiment   what the commands do
    doctor       this machine: what works, what is missing
    pipeline     a suite as stages: run, reuse, plan, record
    report       a run as a page, as Markdown and in the terminal
    regression   a run against a saved baseline, for CI
    tracking     a run in MLflow
    scoring      models answer benchmarks, through lm-eval
    data         models, corpora and datasets: fetched, made, mirrored
    comparison   statistics over items, and the verdict
    suite        YAML -> a typed, frozen suite
    sandbox      runs programs that models wrote
    core         errors, run.json, files, number formats: what any room may need

The method itself is `fusion`, a library that knows nothing of this package.

Public, and described in docs/: the command line with its exit codes, the suite format, `run.json` and the
files beside it, baselines, and lm-eval's model class `fusegauge`. From Python: `suite.load.load_suite`,
`experiment.run_suite` and `experiment.check_run`. Everything else may change with any release.
"""
