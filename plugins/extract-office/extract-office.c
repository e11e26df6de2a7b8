/* extract-office: the text of docx and odt files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "office-text.h"

#include <string.h>

#define LARGEST_FILE (64 * 1024 * 1024)

typedef struct OfficeExtractor {
  const RagifyHost *host;
  RagifyContext *context;
  guint64 max_text, max_size;
} OfficeExtractor;

static const RagifyKey keys[] = {
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "32MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "A file with more text than this is refused." },
  { .name = "max-size",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "256MiB",
    .minimum = "1KiB",
    .maximum = "16GiB",
    .summary = "What may be unpacked of one file; one that holds more is refused." },
};

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  OfficeExtractor *extractor = instance;
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, extractor->max_text);
  g_autoptr (GByteArray) bytes = ragify_pieces_read (&pieces, args->stream, LARGEST_FILE, &fault);
  g_autofree char *title = NULL;
  gboolean well = bytes != NULL;
  if (well) {
    OfficePackage package = { bytes->data, bytes->len, extractor->max_size };
    well = office_text (&package, &pieces, &title, &fault);
  }
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
  static const char *const endings[] = { "docx", "docm", "dotx", "odt", "ott", NULL };
  const OfficeExtractor *extractor = instance;
  const gboolean zip = args->head.size > 4 && memcmp (args->head.data, "PK\3\4", 4) == 0;
  const gboolean open_document =
      zip && args->head.size > 80 &&
      memcmp (args->head.data + 30, "mimetypeapplication/vnd.oasis.opendocument.text", 47) == 0;
  const gboolean named = ragify_uri_ends (args->uri, endings);
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result,
                                                .confidence = open_document ? 100
                                                              : named       ? 90
                                                                            : 0 };
  extractor->host->call_done (call, &result);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  OfficeExtractor *extractor = g_new0 (OfficeExtractor, 1);
  extractor->host = host;
  extractor->context = context;
  host->config_size (context, "max-text", &extractor->max_text);
  host->config_size (context, "max-size", &extractor->max_size);
  xmlInitParser ();
  *instance = extractor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const OfficeExtractor *extractor = instance;
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
  .name = "office",
  .summary = "The text of docx and odt files, with their headings.",
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
  .id = "org.ragify.extract-office",
  .version = "0.1.0",
  .licence = "MIT",
  .summary = "Office files as text.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
