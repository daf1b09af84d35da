"""Settings of the Hugging Face Trainer and of peft that callers may not set, each with the reason.

This module imports nothing, so that a configuration can be checked without torch.
"""

FLOAT16 = (
    "gradients are computed with the loss, before a loss scaler could act on them, "
    "and many would underflow to 0"
)
REFUSED_ARGUMENTS = {  # of TrainingArguments, where they are true
    "fp16": f"{FLOAT16}; train with bf16 or in float32",
    "bf16_full_eval": "the last evaluation would round the weights that are saved; use bf16 instead",
    "fp16_full_eval": "the last evaluation would round the weights that are saved",
    "save_only_model": "a killed training would resume without its optimiser's state",
    "ignore_data_skip": "a killed training would resume with batches that it has already used",
}
LORA_SET_HERE = {  # of LoraConfig
    "task_type": "it is a causal language model",
    "peft_type": "it is LoRA",
    "inference_mode": "the adapters are trained",
    "auto_mapping": "it is the target",
    "base_model_name_or_path": "it is the target",
    "revision": "it is the target",
}
LORA_SYNONYMS = {"rank": "r", "lora_r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
