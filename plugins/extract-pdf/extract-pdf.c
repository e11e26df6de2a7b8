/* extract-pdf: the text of PDF files, page by page.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"
#include "pdftotext.h"

#include <string.h>

#define LARGEST_FILE (64 * 1024 * 1024)

typedef struct PdfExtractor {
  const RagifyHost *host;
  RagifyContext *context;
  char *command;
  guint64 max_text, memory, timeout_us;
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

static GString *
read_pdf (PdfExtractor *extractor, RagifyPieces *pieces, RagifyStream *stream, RagifyFault *fault)
{
  const guint64 now = (guint64)g_get_monotonic_time ();
  const guint64 called_until = extractor->host->call_deadline_us (pieces->call);
  const guint64 clock = extractor->host->clock_us ();
  const guint64 left = called_until > clock ? called_until - clock : 0;
  const PdfLimits limits = { .memory = extractor->memory,
                             .deadline_us = now + MIN (extractor->timeout_us, left * 9 / 10),
                             .most = extractor->max_text };
  g_autoptr (GByteArray) bytes = ragify_pieces_read (pieces, stream, LARGEST_FILE, fault);
  return bytes != NULL ? pdf_to_text (extractor->command, bytes->data, bytes->len, &limits, fault) : NULL;
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  PdfExtractor *extractor = instance;
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, extractor->max_text);
  GString *text = read_pdf (extractor, &pieces, args->stream, &fault);
  if (text != NULL) {
    emit_pages (&pieces, text);
    if (pieces.gathered > 0 || pieces.stopped)
      ragify_pieces_done (&pieces, NULL);
    else {
      ragify_fault_set (&fault, RAGIFY_E_INVALID, "holds no text, only pictures perhaps");
      ragify_pieces_fail (&pieces, &fault);
    }
    g_string_free (text, TRUE);
  } else
    ragify_pieces_fail (&pieces, &fault);
  ragify_pieces_clear (&pieces);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "pdf", NULL };
  const PdfExtractor *extractor = instance;
  const gboolean marked = args->head.size > 0 && g_strstr_len ((const char *)args->head.data,
                                                               (gssize)MIN (args->head.size, 1024), "%PDF-") != NULL;
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result,
                                                .confidence = marked                                 ? 100
                                                              : ragify_uri_ends (args->uri, endings) ? 50
                                                                                                     : 0 };
  extractor->host->call_done (call, &result);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyStr command = { NULL, 0 };
  PdfExtractor *extractor = g_new0 (PdfExtractor, 1);
  extractor->host = host;
  extractor->context = context;
  host->config_string (context, "command", &command);
  extractor->command = g_strndup (command.data, command.size);
  host->config_size (context, "max-text", &extractor->max_text);
  host->config_size (context, "memory", &extractor->memory);
  host->config_duration (context, "timeout", &extractor->timeout_us);
  *instance = extractor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  PdfExtractor *extractor = instance;
  g_autofree char *found = g_find_program_in_path (extractor->command);
  if (found != NULL) {
    extractor->host->call_done (call, NULL);
    return;
  }
  g_autofree char *text =
      g_strdup_printf ("there is no program '%s' (Debian: apt install poppler-utils)", extractor->command);
  extractor->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (text), 0);
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
  .version = "0.1.0",
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
