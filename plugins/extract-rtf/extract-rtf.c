/* extract-rtf: the text of RTF files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "rtf.h"

#include <string.h>

#define LARGEST_FILE (64 * 1024 * 1024)

typedef struct RtfExtractor {
  const RagifyHost *host;
  RagifyContext *context;
  guint64 max_text;
} RtfExtractor;

static const RagifyKey keys[] = {
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "32MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "A file with more text than this is refused." },
};

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  RtfExtractor *extractor = instance;
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, extractor->max_text);
  g_autoptr (GByteArray) bytes = ragify_pieces_read (&pieces, args->stream, LARGEST_FILE, &fault);
  g_autofree char *title = NULL;
  gboolean well = bytes != NULL;
  if (well && !rtf_text ((const char *)bytes->data, bytes->len, &pieces, &title))
    well = ragify_fault_set (&fault, RAGIFY_E_INVALID, "does not begin as RTF does");
  if (well && pieces.gathered == 0 && !pieces.stopped)
    well = ragify_fault_set (&fault, RAGIFY_E_INVALID, "holds no text");
  if (well)
    ragify_pieces_done (&pieces, title);
  else
    ragify_pieces_fail (&pieces, &fault);
  ragify_pieces_clear (&pieces);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "rtf", NULL };
  const RtfExtractor *extractor = instance;
  const gboolean marked = args->head.size > 5 && memcmp (args->head.data, "{\\rtf", 5) == 0;
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result,
                                                .confidence = marked                                 ? 100
                                                              : ragify_uri_ends (args->uri, endings) ? 50
                                                                                                     : 0 };
  extractor->host->call_done (call, &result);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RtfExtractor *extractor = g_new0 (RtfExtractor, 1);
  extractor->host = host;
  extractor->context = context;
  host->config_size (context, "max-text", &extractor->max_text);
  *instance = extractor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const RtfExtractor *extractor = instance;
  extractor->host->call_done (call, NULL);
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
  .start = start,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.extract-rtf",
  .version = "0.1.0",
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
