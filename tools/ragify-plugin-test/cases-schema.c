/* The component's description and its configuration schema. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* Keys that the host has on nodes of every kind. */
static const char *const reserved_keys[] = {
  "plugin",
  "enabled",
  "required",
  "deadline",
  "max-parallel",
  "max-abandoned",
  "isolation",
  "isolation-memory",
  "isolation-hang",
  "start-timeout",
  "breaker-failures",
  "breaker-error-rate",
  "retry",
  "breaker-window",
  "breaker-open",
  "call-memory",
  NULL,
};

static bool
is_name (const char *text)
{
  return text != NULL && *text >= 'a' && *text <= 'z' &&
         strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (text);
}

static const RagifyKey *
key_at (const RagifyComponent *component, uint32_t index)
{
  return (const RagifyKey *)(const void *)((const char *)component->schema.keys +
                                           (size_t)index * component->schema.stride);
}

static void
description_is_whole (Subject *subject)
{
  const RagifyComponent *component = subject->component;
  expect (subject, is_name (component->name), "the name '%s' is not [a-z][a-z0-9-]*", component->name);
  expect (subject, component->summary != NULL && *component->summary != '\0', "it has no summary");
  expect (subject, component->run_class == RAGIFY_RUN_WORKER || component->max_parallel == 0,
          "max_parallel is %u, which only RAGIFY_RUN_WORKER has", component->max_parallel);
}

typedef struct Needed {
  const char *kind, *name;
  size_t offset;
} Needed;

#define NEEDED(kind, Operations, member)                                                                               \
  {                                                                                                                    \
    kind, #member, offsetof (Operations, member)                                                                       \
  }
static const Needed needed_operations[] = {
  NEEDED (RAGIFY_KIND_SOURCE, RagifySourceOperations, query),
  NEEDED (RAGIFY_KIND_CACHE, RagifyCacheOperations, get),
  NEEDED (RAGIFY_KIND_CACHE, RagifyCacheOperations, set),
  NEEDED (RAGIFY_KIND_CACHE, RagifyCacheOperations, remove),
  NEEDED (RAGIFY_KIND_CACHE, RagifyCacheOperations, clear),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, upsert),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, search),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, fetch),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, list),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, remove),
  NEEDED (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations, generation),
  NEEDED (RAGIFY_KIND_TEXT_INDEX, RagifyTextIndexOperations, upsert),
  NEEDED (RAGIFY_KIND_TEXT_INDEX, RagifyTextIndexOperations, search),
  NEEDED (RAGIFY_KIND_TEXT_INDEX, RagifyTextIndexOperations, remove),
  NEEDED (RAGIFY_KIND_TEXT_INDEX, RagifyTextIndexOperations, generation),
  NEEDED (RAGIFY_KIND_EMBEDDER, RagifyEmbedderOperations, describe),
  NEEDED (RAGIFY_KIND_EMBEDDER, RagifyEmbedderOperations, embed),
  NEEDED (RAGIFY_KIND_RERANKER, RagifyRerankerOperations, rerank),
  NEEDED (RAGIFY_KIND_EXTRACTOR, RagifyExtractorOperations, accepts),
  NEEDED (RAGIFY_KIND_EXTRACTOR, RagifyExtractorOperations, extract),
};

static void
operations_are_there (Subject *subject)
{
  const uint32_t size = *(const uint32_t *)subject->component->operations;
  bool known = false;
  expect (subject, size >= 8 && size % 8 == 0 && size < 4096, "the vtable's struct_size is %u; write sizeof", size);
  for (size_t i = 0; i < sizeof needed_operations / sizeof needed_operations[0]; i++) {
    const Needed *needed = &needed_operations[i];
    void *function = NULL;
    if (strcmp (needed->kind, subject->component->kind) != 0)
      continue;
    known = true;
    if (needed->offset + sizeof function <= size)
      memcpy (&function, (const char *)subject->component->operations + needed->offset, sizeof function);
    expect (subject, function != NULL, "'%s' is missing", needed->name);
  }
  expect (subject, known, "the kind '%s' is not one of this ABI", subject->component->kind);
}

static void
check_key (Subject *subject, const RagifyKey *key)
{
  const bool reloadable = (key->flags & RAGIFY_KEY_RELOADABLE) != 0;
  expect (subject, is_name (key->name), "a key is called '%s', which is not [a-z][a-z0-9-]*", key->name);
  for (const char *const *reserved = reserved_keys; *reserved != NULL; reserved++)
    expect (subject, strcmp (*reserved, key->name) != 0, "'%s' is reserved for the host", key->name);
  expect (subject, key->summary != NULL && *key->summary != '\0', "'%s' has no summary", key->name);
  expect (subject, !(key->flags & RAGIFY_KEY_REQUIRED) || key->default_value == NULL,
          "'%s' is required and has a default", key->name);
  expect (subject, key->type == RAGIFY_KEY_ENUM ? key->choices != NULL : key->choices == NULL,
          "'%s': choices belong to enums, and every enum has them", key->name);
  expect (subject, !reloadable || subject->component->reconfigure != NULL,
          "'%s' is reloadable, and there is no reconfigure", key->name);
  expect (subject, key->type != RAGIFY_KEY_SECRET || key->default_value == NULL, "'%s': a secret with a default",
          key->name);
  if (key->replaced_by != NULL)
    expect (subject, (key->flags & RAGIFY_KEY_DEPRECATED) != 0, "'%s' is replaced and not deprecated", key->name);
}

static void
keys_are_sound (Subject *subject)
{
  const RagifySchema *schema = &subject->component->schema;
  for (uint32_t i = 0; i < schema->count; i++) {
    const RagifyKey *key = key_at (subject->component, i);
    check_key (subject, key);
    bool replacement = key->replaced_by == NULL;
    for (uint32_t k = 0; k < schema->count; k++) {
      const RagifyKey *other = key_at (subject->component, k);
      replacement |= key->replaced_by != NULL && strcmp (other->name, key->replaced_by) == 0;
      expect (subject, k == i || strcmp (other->name, key->name) != 0, "'%s' is there twice", key->name);
    }
    expect (subject, replacement, "'%s' is replaced by '%s', which is no key", key->name, key->replaced_by);
  }
}

/* With one key more than the subject's configuration; creation alone is looked at. */
static RagifyKitInstance *
create_with (const Subject *subject, RagifyKit *kit, const char *text)
{
  size_t count = 0;
  while (subject->config[count] != NULL)
    count++;
  const char **texts = calloc (count + 2, sizeof *texts);
  const size_t length = text != NULL ? strcspn (text, "=") + 1 : 0;
  size_t kept = 0;
  for (size_t i = 0; texts != NULL && i < count; i++)
    if (text == NULL || strncmp (subject->config[i], text, length) != 0)
      texts[kept++] = subject->config[i];
  if (texts != NULL && text != NULL)
    texts[kept] = text;
  RagifyKitInstance *instance = ragify_kit_create (kit, subject->component, texts, NULL);
  free (texts);
  return instance;
}

static void
defaults_and_limits_are_values (Subject *subject)
{
  const RagifySchema *schema = &subject->component->schema;
  for (uint32_t i = 0; i < schema->count; i++) {
    const RagifyKey *key = key_at (subject->component, i);
    const char *const values[] = { key->default_value, key->minimum, key->maximum };
    for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
      char text[512];
      if (values[k] == NULL)
        continue;
      snprintf (text, sizeof text, "%s=%s", key->name, values[k]);
      RagifyKitInstance *instance = create_with (subject, subject->kit, text);
      /* An edge may be refused in words; what the schema itself says must at least parse, which the kit notes first. */
      const char *error = ragify_kit_error (subject->kit);
      expect (subject, instance != NULL || strstr (error, "create:") != NULL, "'%s': %s", text, error);
      if (instance != NULL)
        ragify_kit_destroy (instance);
    }
  }
}

static void
required_keys_are_required (Subject *subject)
{
  static const char *const nothing[] = { NULL };
  bool any = false;
  for (uint32_t i = 0; i < subject->component->schema.count; i++)
    any |= (key_at (subject->component, i)->flags & RAGIFY_KEY_REQUIRED) != 0;
  if (any) {
    RagifyKitInstance *instance = ragify_kit_create (subject->kit, subject->component, nothing, NULL);
    expect (subject, instance == NULL, "it can be made without them");
    if (instance != NULL)
      ragify_kit_destroy (instance);
    return;
  }
  RagifyKitInstance *instance = ragify_kit_create (subject->kit, subject->component, nothing, NULL);
  expect (subject, instance != NULL, "no key is required, and it refuses to be made without any: %s",
          ragify_kit_error (subject->kit));
  if (instance != NULL)
    ragify_kit_destroy (instance);
}

/* A value that no backend has behind it. */
static const char *
unusable (uint32_t type)
{
  switch (type) {
  case RAGIFY_KEY_PATH:
    return "/proc/self/nowhere/\xc3\xa9";
  case RAGIFY_KEY_URI:
    return "tcp://127.0.0.1:1/";
  case RAGIFY_KEY_STRING:
  case RAGIFY_KEY_SECRET:
    return "%s %n \xe2\x80\xae '; --";
  case RAGIFY_KEY_LIST:
    return "%s; \xe2\x80\xae; ; '";
  default:
    return NULL;
  }
}

static void
unusable_values_are_refused_in_words (Subject *subject)
{
  for (uint32_t i = 0; i < subject->component->schema.count; i++) {
    char text[512];
    const RagifyKey *key = key_at (subject->component, i);
    if (unusable (key->type) == NULL)
      continue;
    snprintf (text, sizeof text, "%s=%s", key->name, unusable (key->type));
    RagifyKitInstance *instance = create_with (subject, subject->kit, text);
    if (instance == NULL)
      continue; /* the kit notes where it did not say why */
    const RagifyStart start = { .struct_size = sizeof start };
    RagifyKitCall *call =
        ragify_kit_call (instance, (RagifyKitFunction)subject->component->start, &start, 20 * 1000000);
    const bool hung = call->hung != 0;
    const bool started = call->code == RAGIFY_OK;
    if (subject_well_ended (subject, call, text) && started)
      ragify_kit_stop (instance);
    ragify_kit_call_free (call);
    if (!hung)
      ragify_kit_destroy (instance);
  }
}

const Case conformance_schema_cases[] = {
  { "describes itself", "name, summary, run class, max_parallel and flags as plugin.h defines them",
    description_is_whole, NULL },
  { "has its operations", "the operations without which the kind is of no use are in the vtable", operations_are_there,
    NULL },
  { "keys are sound",
    "names of [a-z0-9-] that are not the host's, with summary, choices for enums, and reconfigure where one is "
    "reloadable",
    keys_are_sound, NULL },
  { "defaults and limits are values",
    "what a schema says as default, minimum and maximum is written as in a file, and is accepted",
    defaults_and_limits_are_values, NULL },
  { "required keys are required", "a component can be made exactly when its required keys are there",
    required_keys_are_required, NULL },
  { "refuses in words", "what cannot be used is refused by create or start with a reason, within the deadline",
    unusable_values_are_refused_in_words, NULL },
  { NULL, NULL, NULL, NULL },
};
