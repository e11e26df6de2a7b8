/* The keys that plugins with a model on this machine share. */
{
  .name = "models-dir",
  .type = RAGIFY_KEY_PATH,
  .default_value = RAGIFY_MODELS_DIR,
  .summary = "The directory in which models are looked up by name.",
},
    {
      .name = "precision",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "auto",
      .choices = "auto|bf16|fp32|int8",
      .summary =
          "How numbers are multiplied; auto is the faster of bf16 and fp32 on this CPU, within 0.0001 of exact in "
          "cosine. int8, which is never chosen by itself, is faster still and loses about 0.001.",
    },
    {
      .name = "kernel",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "auto",
      .choices = "auto|amxbf16|avx512bf16|avx512f|avx2|portable|amxint8|avx512vnni|avxvnni|avx2int8|portableint8",
      .summary = "The instructions to use, for tests and comparisons; auto is the best that the CPU has.",
    },
    {
      .name = "max-tokens",
      .type = RAGIFY_KEY_INT,
      .default_value = "0",
      .unit = "tokens",
      .minimum = "0",
      .maximum = "65536",
      .summary =
          "A lower limit for the tokens of a text than the model's, special ones included; 0 is the model's own.",
    },
