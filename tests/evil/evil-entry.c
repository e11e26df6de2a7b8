/* Plugins that are wrong before they do anything: each is this file with another -DMISDEED=…. All offer the source
 * "innocent", which answers nothing. SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <stdlib.h>

/* Macros, since the preprocessor asks for two of them. */
#define WRONG_MAGIC 1
#define WRONG_MAJOR 2
#define NEWER_MINOR 3
#define SHORT_PLUGIN 4
#define NO_ID 5
#define NO_COMPONENTS 6
#define SHORT_COMPONENT 7
#define NO_NAME 8
#define BAD_NAME 9
#define UNKNOWN_KIND 10
#define UNKNOWN_RUN_CLASS 11
#define NO_CREATE 12
#define NO_OPERATIONS 13
#define SHORT_OPERATIONS 14
#define NULL_METHOD 15
#define SAME_COMPONENT_TWICE 16
#define RESERVED_KEY 17
#define UNKNOWN_KEY_TYPE 18
#define SMALL_KEYS 19
#define NULL_KEYS 20
#define QUERY_GIVES_NULL 21
#define NO_ENTRY 22
#define UNRESOLVED_SYMBOL 23
#define CRASH_IN_QUERY 24

#define IF(misdeed, yes, no) (MISDEED == misdeed ? (yes) : (no))

static const RagifyHost *our_host;

/* Nobody has this one. */
extern void ragify_symbol_that_nobody_has (void);

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  our_host = host;
  *instance = context;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)instance;
  (void)args;
#if MISDEED == UNRESOLVED_SYMBOL
  ragify_symbol_that_nobody_has ();
#endif
  our_host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  (void)instance;
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)instance;
  (void)args;
  const RagifySourceResult result = { .struct_size = sizeof result };
  our_host->call_done (call, &result);
}

static const RagifyKey keys[] = {
  { .name = IF (RESERVED_KEY, "deadline", "colour"),
    .type = IF (UNKNOWN_KEY_TYPE, 99u, RAGIFY_KEY_STRING),
    .summary = "Any." },
};

static const RagifySourceOperations operations = {
  .struct_size = IF (SHORT_OPERATIONS, 8, sizeof operations),
  .query = IF (NULL_METHOD, NULL, query),
};

static const RagifyComponent innocent = {
  .struct_size = IF (SHORT_COMPONENT, 40, sizeof innocent),
  .kind = IF (UNKNOWN_KIND, "ragify.oracle/7", RAGIFY_KIND_SOURCE),
  .name = MISDEED == NO_NAME ? NULL : IF (BAD_NAME, "No\nName", "innocent"),
  .summary = "Answers nothing.",
  .run_class = IF (UNKNOWN_RUN_CLASS, 77u, RAGIFY_RUN_SHARED),
  .schema = { .keys = IF (NULL_KEYS, NULL, keys), .count = 1, .stride = IF (SMALL_KEYS, 8, sizeof keys[0]) },
  .operations = IF (NO_OPERATIONS, NULL, &operations),
  .create = IF (NO_CREATE, NULL, create),
  .start = start,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &innocent, IF (SAME_COMPONENT_TWICE, &innocent, NULL), NULL };

static const RagifyPlugin plugin = {
  .magic = IF (WRONG_MAGIC, 0x464c457fu, RAGIFY_PLUGIN_MAGIC),
  .abi_major = IF (WRONG_MAJOR, 2, RAGIFY_ABI_MAJOR),
  .abi_minor_needed = IF (NEWER_MINOR, 99, RAGIFY_NEEDS_MINOR),
  .struct_size = IF (SHORT_PLUGIN, 16, sizeof plugin),
  .id = IF (NO_ID, NULL, "org.ragify.test.evil-entry"),
  .version = "1",
  .licence = "MIT",
  .summary = "A misdeed.",
  .url = "",
  .components = IF (NO_COMPONENTS, NULL, components),
};

#if MISDEED != NO_ENTRY
const RagifyPlugin *
ragify_plugin_query (void)
{
  if (MISDEED == CRASH_IN_QUERY)
    abort ();
  return IF (QUERY_GIVES_NULL, NULL, &plugin);
}
#endif
