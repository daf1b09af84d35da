"""Cross-tokenizer knowledge fusion as a library (FuseLLM, Wan et al. 2024): arrays in, arrays out.

The way of the data; docs/library.md walks it in thirty lines:

    windows, tokens        documents -> windows, each as every model reads it, with end bytes
    extraction             windows x model -> its likeliest next tokens (`distributions`; on disk: `shards`)
    vocabulary             source tokens -> target tokens (by spelling: `spelling`)
    alignment              target rows -> source rows
    continuation           what a source gives to the bytes of the target's next token
    projection             a source's rows, spoken in the target's tokens
    functions              several models' rows -> one: MinCE, AvgCE
    objective              lambda x causal LM + (1 - lambda) x fusion, sparse and chunked
    training               target + windows + fused rows -> a trained target (Hugging Face Trainer)
    models                 load and save models and tokenizers
    presets, release       the paper's settings; what its released code does, for comparison

Never here: the harness, suites and YAML, the store's layout, lm-eval, MLflow.
"""
