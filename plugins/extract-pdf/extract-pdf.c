/* extract-pdf: the text of PDF files, page by page.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "pdftotext.h"
#include "settings.h"

#include <string.h>

typedef struct PdfExtractor {
  RagifyExtractor base;
  char *command;
  guint64 memory, timeout_us;
} PdfExtractor;

static const RagifyKey keys[] = {
  { .name = "command",
    .type = RAGIFY_KEY_STRING,
    .default_value = "pdftotext",
    .summary = "Poppler's pdftotext (Debian: poppler-utils); it runs as a process of its own for each file." },
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "32MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "A file with more text than this is refused." },
  { .name = "memory",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "1GiB",
    .minimum = "0",
    .maximum = "1TiB",
    .summary = "What pdftotext may take for one file; 0: no bound." },
  { .name = "timeout",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "30s",
    .minimum = "100ms",
    .maximum = "1h",
    .summary = "How long pdftotext may take for one file; inside the node's deadline." },
};

/* Paragraphs are ended by empty lines, pages by form feeds. */
static void
emit_page (RagifyPieces *pieces, const char *begin, const char *end)
{
  for (const char *line = begin; line < end && !pieces->stopped;) {
    const char *stop = memchr (line, '\n', (gsize)(end - line));
    stop = stop != NULL ? stop : end;
    if (strspn (line, " \t") >= (gsize)(stop - line))
      ragify_pieces_end (pieces, 0);
    else {
      ragify_pieces_add (pieces, line, (gsize)(stop - line));
      ragify_pieces_add (pieces, " ", 1);
    }
    line = stop + 1;
  }
  ragify_pieces_end (pieces, 0);
}

static void
emit_pages (RagifyPieces *pieces, const GString *text)
{
  const char *end = text->str + text->len;
  for (const char *page = text->str; page < end && !pieces->stopped;) {
    const char *stop = memchr (page, '\f', (gsize)(end - page));
    stop = stop != NULL ? stop : end;
    pieces->page++;
    emit_page (pieces, page, stop);
    page = stop + 1;
  }
}

/* What a file may take of the machine: the configured, and not all that is left of the call. */
static PdfLimits
limits_of (const PdfExtractor *extractor, RagifyCall *call)
{
  const RagifyHost *host = extractor->base.host;
  const guint64 called_until = host->call_deadline_us (call), clock = host->clock_us ();
  const guint64 left = called_until > clock ? called_until - clock : 0;
  return (PdfLimits){ .memory = extractor->memory,
                      .deadline_us = (guint64)g_get_monotonic_time () + MIN (extractor->timeout_us, left * 9 / 10),
                      .most = extractor->base.max_text };
}

static gboolean
read_pdf (RagifyExtractor *extractor, RagifyPieces *pieces, const GByteArray *bytes, char **title, RagifyFault *fault)
{
  const PdfExtractor *self = (const PdfExtractor *)(const void *)extractor;
  const PdfLimits limits = limits_of (self, pieces->call);
  GString *text = pdf_to_text (self->command, bytes->data, bytes->len, &limits, fault);
  if (text == NULL)
    return FALSE;
  emit_pages (pieces, text);
  g_string_free (text, TRUE);
  return ragify_pieces_need_text (pieces, ", only pictures perhaps", fault);
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  ragify_extractor_run (instance, call, args->stream, read_pdf);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "pdf", NULL };
  const RagifyExtractor *extractor = instance;
  const gboolean marked = args->head.size > 0 && g_strstr_len ((const char *)args->head.data,
                                                               (gssize)MIN (args->head.size, 1024), "%PDF-") != NULL;
  ragify_extractor_accept (extractor, call, marked ? 100 : ragify_uri_ends (args->uri, endings) ? 50 : 0);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  PdfExtractor *extractor = g_new0 (PdfExtractor, 1);
  ragify_extractor_init (&extractor->base, host, context);
  extractor->command = ragify_setting_text (host, context, "command");
  extractor->memory = ragify_setting_size (host, context, "memory");
  extractor->timeout_us = ragify_setting_duration_us (host, context, "timeout");
  *instance = extractor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  PdfExtractor *extractor = instance;
  g_autofree char *found = g_find_program_in_path (extractor->command);
  if (found != NULL) {
    extractor->base.host->call_done (call, NULL);
    return;
  }
  g_autofree char *text =
      g_strdup_printf ("there is no program '%s' (Debian: apt install poppler-utils)", extractor->command);
  extractor->base.host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (text), 0);
}

static void
destroy (void *instance)
{
  PdfExtractor *extractor = instance;
  g_free (extractor->command);
  g_free (extractor);
}

static const RagifyExtractorOperations operations = {
  .struct_size = sizeof operations,
  .accepts = accepts,
  .extract = extract,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_EXTRACTOR,
  .name = "pdf",
  .summary = "The text of PDF files, page by page, by Poppler's pdftotext.",
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
  .id = "org.ragify.extract-pdf",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "PDF files as text.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
