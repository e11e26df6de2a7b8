/* extract-rtf: the text of RTF files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "rtf.h"

#include <string.h>

static const RagifyKey keys[] = {
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "32MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "A file with more text than this is refused." },
};

static gboolean
read_rtf (RagifyExtractor *extractor, RagifyPieces *pieces, const GByteArray *bytes, char **title, RagifyFault *fault)
{
  if (!rtf_text ((const char *)bytes->data, bytes->len, pieces, title))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "does not begin as RTF does");
  return ragify_pieces_need_text (pieces, NULL, fault);
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  ragify_extractor_run (instance, call, args->stream, read_rtf);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "rtf", NULL };
  const RagifyExtractor *extractor = instance;
  const gboolean marked = args->head.size > 5 && memcmp (args->head.data, "{\\rtf", 5) == 0;
  ragify_extractor_accept (extractor, call, marked ? 100 : ragify_uri_ends (args->uri, endings) ? 50 : 0);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyExtractor *extractor = g_new (RagifyExtractor, 1);
  ragify_extractor_init (extractor, host, context);
  *instance = extractor;
  return RAGIFY_OK;
}

static void
destroy (void *instance)
{
  g_free (instance);
}

static const RagifyExtractorOperations operations = {
  .struct_size = sizeof operations,
  .accepts = accepts,
  .extract = extract,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_EXTRACTOR,
  .name = "rtf",
  .summary = "The text of RTF files, with their headings.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 4,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = ragify_extractor_start,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.extract-rtf",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "RTF files as text.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
