"""Settings of the Hugging Face Trainer and of peft that are not a caller's to choose, each with the reason.

Nothing is imported here, so that a configuration can be checked without torch.
"""

FLOAT16 = (
    "gradients are formed with the loss, before a loss scaler could widen them, "
    "and many would vanish in float16"
)
REFUSED_ARGUMENTS = {  # of TrainingArguments, where they are true
    "fp16": f"{FLOAT16}; train with bf16 or in float32",
    "bf16_full_eval": "the last evaluation would round the weights that are saved; use bf16 instead",
    "fp16_full_eval": "the last evaluation would round the weights that are saved",
    "save_only_model": "a killed training would go on without its optimiser's state",
    "ignore_data_skip": "a killed training would go on with batches that it has seen",
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
