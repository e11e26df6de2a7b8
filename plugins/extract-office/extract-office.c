/* extract-office: the text of docx and odt files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "office-text.h"

#include <string.h>

typedef struct OfficeExtractor {
  RagifyExtractor base;
  guint64 max_size;
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

static gboolean
read_office (RagifyExtractor *extractor, RagifyPieces *pieces, const GByteArray *bytes, char **title,
             RagifyFault *fault)
{
  const OfficeExtractor *self = (const OfficeExtractor *)(const void *)extractor;
  OfficePackage package = { bytes->data, bytes->len, self->max_size };
  return office_text (&package, pieces, title, fault) && ragify_pieces_need_text (pieces, NULL, fault);
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  ragify_extractor_run (instance, call, args->stream, read_office);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "docx", "docm", "dotx", "odt", "ott", NULL };
  const RagifyExtractor *extractor = instance;
  const gboolean zip = args->head.size > 4 && memcmp (args->head.data, "PK\3\4", 4) == 0;
  const gboolean open_document =
      zip && args->head.size > 80 &&
      memcmp (args->head.data + 30, "mimetypeapplication/vnd.oasis.opendocument.text", 47) == 0;
  const gboolean named = ragify_uri_ends (args->uri, endings);
  ragify_extractor_accept (extractor, call, open_document ? 100 : named ? 90 : 0);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  OfficeExtractor *extractor = g_new0 (OfficeExtractor, 1);
  ragify_extractor_init (&extractor->base, host, context);
  host->config_size (context, "max-size", &extractor->max_size);
  xmlInitParser ();
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
  .name = "office",
  .summary = "The text of docx and odt files, with their headings.",
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
  .id = "org.ragify.extract-office",
  .version = RAGIFY_VERSION,
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
