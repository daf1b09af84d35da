"""Cross-tokenizer knowledge fusion as a library (FuseLLM, Wan et al. 2024): arrays in, arrays out.

Modules in the order of the data flow; docs/library.md has a complete example.

Choices
    method              every choice of the method and its default (`Method`)
    choices             allowed values of the choices that have a fixed list
    presets             settings of the paper and of its released code, by name
    vocabulary_rules    registry of vocabulary maps: em, mined, prefix
    alignment_rules     registry of alignments: end_byte, em, mined
    function_rules      registry of fusion functions: mince, avgce
Models and text
    models              load, save and convert models and tokenizers
    windows             documents -> windows that every tokenizer reads within the block size
    tokens              bytes of tokens, end bytes of a text's tokens (by `token_bytes`)
Distributions
    extraction          model, windows -> top-k next-token distributions
    distributions       distributions in memory, bits per byte
    shards              distributions on disk (files of a shard: `shard_format`)
    decoder             a model split into hidden states and head
    top_k               top-k tokens without holding all logits
Source to target
    model_vocabulary    a model's vocabulary as bytes and as spellings
    vocabulary          source tokens -> target tokens (nearest ones by `edit_distance`, on `ragged` arrays)
    alignment           target rows -> source rows
    next_token          a source's probability of the bytes of the target's next token
    projection          source rows -> distributions over the target's vocabulary
    coverage            how much of each source reaches the target, which model each fused row came from
Fusion and training
    functions           several models' distributions -> one: MinCE, AvgCE
    fuse_blocks         stored distributions -> fused rows, block by block
    teacher_rows        fused rows of a whole corpus, as training reads them
    batches             windows and teacher rows as batches of tensors
    objective           lambda x causal LM + (1 - lambda) x fusion (by `chunked_loss`)
    lm_head             the output head; `head_gradients` differentiates it chunk by chunk
    schedule            lambda over a training
    lora                LoRA adapters
    training            target, windows, fused rows -> trained target (Hugging Face Trainer)
Comparison with the authors' released code
    spelling            vocabulary maps by the tokenizers' spelling
    fusellm_release     alignment and projection as released
Everywhere
    errors              `FusionError`

Never here: the harness, suites and YAML, the store's layout, lm-eval, MLflow.
"""
