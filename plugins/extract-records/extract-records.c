/* extract-records: JSON, NDJSON and CSV as text, record by record.
 *
 * SPDX-License-Identifier: MIT
 */
#include "csv-records.h"
#include "json-pointer.h"
#include "json-records.h"

#include <string.h>

typedef struct Extractor {
  const RagifyHost *host;
  RecordFields fields;
  guint64 max_record;
  char *records;  /* json */
  char delimiter; /* csv */
  gboolean header;
  char *encoding;
} Extractor;

#define FIELD_KEYS                                                                                                     \
  { .name = "content",                                                                                                 \
    .type = RAGIFY_KEY_LIST,                                                                                           \
    .summary = "The fields that make a record's text, as names or JSON pointers; of several, each has its name in "    \
               "front. Not set: content, text or body, or else all there is." },                                       \
      { .name = "title",                                                                                               \
        .type = RAGIFY_KEY_STRING,                                                                                     \
        .summary = "The field that is a record's heading. Not set: title." },                                          \
      { .name = "metadata",                                                                                            \
        .type = RAGIFY_KEY_LIST,                                                                                       \
        .summary = "Fields for filters, kept with the record's chunks under their last name." },                       \
  {                                                                                                                    \
    .name = "max-record", .type = RAGIFY_KEY_SIZE, .default_value = "16MiB", .minimum = "1KiB", .maximum = "64MiB",    \
    .summary = "A longer record is set aside."                                                                         \
  }

static const RagifyKey json_keys[] = {
  FIELD_KEYS,
  { .name = "records",
    .type = RAGIFY_KEY_STRING,
    .summary = "Where the list of records is in a JSON file: a JSON pointer made of names, such as /data/items. Not "
               "set: the whole is the list, or one record." },
};

static const RagifyKey csv_keys[] = {
  FIELD_KEYS,
  { .name = "delimiter",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "auto",
    .choices = "auto|comma|semicolon|tab|bar",
    .summary = "What stands between two columns; auto: what the first line has most of." },
  { .name = "header",
    .type = RAGIFY_KEY_BOOL,
    .default_value = "true",
    .summary = "The first line names the columns; otherwise they are called 1, 2 and so on." },
  { .name = "encoding",
    .type = RAGIFY_KEY_STRING,
    .default_value = "windows-1252",
    .summary = "Of fields that are not UTF-8." },
};

/* ---- extracting ---- */

static void
finish (RagifyPieces *pieces, gboolean well, RagifyFault *fault)
{
  if (well && pieces->gathered == 0 && !pieces->stopped)
    well = ragify_fault_set (fault, RAGIFY_E_INVALID, "holds no record with text%s%s",
                             pieces->left_out->len > 0 ? ": " : "", pieces->left_out->str);
  if (well)
    ragify_pieces_done (pieces, NULL);
  else
    ragify_pieces_fail (pieces, fault);
  ragify_pieces_clear (pieces);
}

static const char *const line_endings[] = { "ndjson", "jsonl", NULL };

static void
extract_json (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  const Extractor *extractor = instance;
  const JsonRecordsOptions options = { .fields = &extractor->fields,
                                       .records = extractor->records != NULL ? extractor->records : "",
                                       .max_record = extractor->max_record,
                                       .lines = ragify_uri_ends (args->uri, line_endings) };
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, 0);
  finish (&pieces, json_records_give (&options, args->stream, &pieces, &fault), &fault);
}

static void
extract_csv (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  const Extractor *extractor = instance;
  const CsvRecordsOptions options = { .fields = &extractor->fields,
                                      .delimiter = extractor->delimiter,
                                      .header = extractor->header,
                                      .max_record = extractor->max_record,
                                      .encoding = extractor->encoding };
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, 0);
  finish (&pieces, csv_records_give (&options, args->stream, &pieces, &fault), &fault);
}

/* ---- which files ---- */

static gboolean
is_type (RagifyStr type, const char *const *types)
{
  for (; *types != NULL; types++)
    if (type.size == strlen (*types) && g_ascii_strncasecmp (type.data, *types, type.size) == 0)
      return TRUE;
  return FALSE;
}

static void
answer (const Extractor *extractor, RagifyCall *call, guint confidence)
{
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result, .confidence = confidence };
  extractor->host->call_done (call, &result);
}

static void
accepts_json (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "json", "ndjson", "jsonl", "geojson", NULL };
  static const char *const types[] = { "application/json", "application/x-ndjson", "application/jsonl", NULL };
  answer (instance, call, is_type (args->media_type, types) ? 100 : ragify_uri_ends (args->uri, endings) ? 80 : 0);
}

static void
accepts_csv (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "csv", "tsv", "tab", NULL };
  static const char *const types[] = { "text/csv", "text/tab-separated-values", NULL };
  answer (instance, call, is_type (args->media_type, types) ? 100 : ragify_uri_ends (args->uri, endings) ? 80 : 0);
}

/* ---- instances ---- */

static void
destroy (void *instance)
{
  Extractor *extractor = instance;
  record_fields_clear (&extractor->fields);
  g_free (extractor->records);
  g_free (extractor->encoding);
  g_free (extractor);
}

static char *
string_of (const RagifyHost *host, RagifyContext *context, const char *key)
{
  RagifyStr value = { NULL, 0 };
  return host->config_string (context, key, &value) == RAGIFY_OK ? g_strndup (value.data, value.size) : NULL;
}

static Extractor *
extractor_new (const RagifyHost *host, RagifyContext *context, RagifyFault *fault)
{
  Extractor *extractor = g_new0 (Extractor, 1);
  extractor->host = host;
  host->config_size (context, "max-record", &extractor->max_record);
  if (record_fields_read (&extractor->fields, host, context, fault))
    return extractor;
  host->set_error (context, ragify_str_from (fault->message));
  destroy (extractor);
  return NULL;
}

static int32_t
create_json (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyFault fault = { 0 };
  Extractor *extractor = extractor_new (host, context, &fault);
  if (extractor == NULL)
    return fault.code;
  extractor->records = string_of (host, context, "records");
  *instance = extractor;
  return RAGIFY_OK;
}

static int32_t
create_csv (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  static const struct {
    const char *name;
    char delimiter;
  } delimiters[] = { { "comma", ',' }, { "semicolon", ';' }, { "tab", '\t' }, { "bar", '|' } };
  RagifyFault fault = { 0 };
  Extractor *extractor = extractor_new (host, context, &fault);
  if (extractor == NULL)
    return fault.code;
  g_autofree char *delimiter = string_of (host, context, "delimiter");
  for (gsize i = 0; i < G_N_ELEMENTS (delimiters); i++)
    if (g_strcmp0 (delimiter, delimiters[i].name) == 0)
      extractor->delimiter = delimiters[i].delimiter;
  guint32 header = 1;
  host->config_bool (context, "header", &header);
  extractor->header = header != 0;
  extractor->encoding = string_of (host, context, "encoding");
  *instance = extractor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const Extractor *extractor = instance;
  extractor->host->call_done (call, NULL);
}

static const RagifyExtractorOperations json_operations = {
  .struct_size = sizeof json_operations,
  .accepts = accepts_json,
  .extract = extract_json,
};

static const RagifyExtractorOperations csv_operations = {
  .struct_size = sizeof csv_operations,
  .accepts = accepts_csv,
  .extract = extract_csv,
};

static const RagifyComponent json_component = {
  .struct_size = sizeof json_component,
  .kind = RAGIFY_KIND_EXTRACTOR,
  .name = "json",
  .summary = "Records of JSON and NDJSON files, their fields chosen by name.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 4,
  .schema = { .keys = json_keys, .count = G_N_ELEMENTS (json_keys), .stride = sizeof (RagifyKey) },
  .operations = &json_operations,
  .create = create_json,
  .start = start,
  .destroy = destroy,
};

static const RagifyComponent csv_component = {
  .struct_size = sizeof csv_component,
  .kind = RAGIFY_KIND_EXTRACTOR,
  .name = "csv",
  .summary = "Rows of CSV and TSV files, their columns chosen by name.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 4,
  .schema = { .keys = csv_keys, .count = G_N_ELEMENTS (csv_keys), .stride = sizeof (RagifyKey) },
  .operations = &csv_operations,
  .create = create_csv,
  .start = start,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &json_component, &csv_component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.extract-records",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "JSON, NDJSON and CSV files as text.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
