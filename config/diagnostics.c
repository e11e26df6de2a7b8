/* SPDX-License-Identifier: MIT */
#include "config/diagnostics.h"

#include <string.h>

typedef struct Entry {
  RagifyDiagnostic diagnostic;
  unsigned int file_order;
  unsigned int sequence; /* keeps what stands at one place in the order in which it was found */
} Entry;

struct RagifyDiagnostics {
  GPtrArray *entries;
  GHashTable *file_orders; /* path → order + 1 */
  GStringChunk *texts;
  unsigned int counts[3];
  unsigned int dropped;
  bool sorted;
};

static const char *const severity_names[] = {
  [RAGIFY_SEVERITY_ERROR] = "error", [RAGIFY_SEVERITY_WARNING] = "warning", [RAGIFY_SEVERITY_NOTE] = "note"
};

static int
compare_unsigned (unsigned int a, unsigned int b)
{
  return (a > b) - (a < b);
}

static int
compare_entries (gconstpointer left, gconstpointer right)
{
  const Entry *a = *(const Entry *const *)left;
  const Entry *b = *(const Entry *const *)right;
  int order = compare_unsigned (a->file_order, b->file_order);

  if (order == 0)
    order = compare_unsigned (a->diagnostic.line, b->diagnostic.line);
  if (order == 0)
    order = compare_unsigned (a->diagnostic.column, b->diagnostic.column);
  if (order == 0)
    order = compare_unsigned (a->sequence, b->sequence);
  return order;
}

static void
sort (const RagifyDiagnostics *diagnostics)
{
  /* Sorting is put off until somebody looks; it changes nothing that a caller can see. */
  RagifyDiagnostics *self = (RagifyDiagnostics *)diagnostics;

  if (self->sorted)
    return;
  g_ptr_array_sort (self->entries, compare_entries);
  self->sorted = true;
}

static unsigned int
file_order (RagifyDiagnostics *diagnostics, const char *file)
{
  unsigned int order = GPOINTER_TO_UINT (g_hash_table_lookup (diagnostics->file_orders, file));

  if (order == 0) {
    order = g_hash_table_size (diagnostics->file_orders) + 1;
    g_hash_table_insert (diagnostics->file_orders, g_strdup (file), GUINT_TO_POINTER (order));
  }
  return order;
}

static void
add (RagifyDiagnostics *diagnostics, RagifySeverity severity, const RagifyPlace *place, const char *format,
     va_list arguments)
{
  g_autofree char *message = NULL;
  Entry *entry = NULL;

  diagnostics->counts[severity]++;
  if (diagnostics->entries->len >= RAGIFY_DIAGNOSTICS_MAX) {
    diagnostics->dropped++;
    return;
  }
  message = g_strdup_vprintf (format, arguments);
  entry = g_new0 (Entry, 1);
  entry->diagnostic.severity = severity;
  entry->diagnostic.file = g_string_chunk_insert_const (diagnostics->texts, place->file);
  entry->diagnostic.line = place->line;
  entry->diagnostic.column = place->column;
  entry->diagnostic.group =
      place->group == NULL ? NULL : g_string_chunk_insert_const (diagnostics->texts, place->group);
  entry->diagnostic.message = g_string_chunk_insert (diagnostics->texts, message);
  entry->file_order = file_order (diagnostics, place->file);
  entry->sequence = diagnostics->entries->len;
  g_ptr_array_add (diagnostics->entries, entry);
  diagnostics->sorted = false;
}

RagifyDiagnostics *
ragify_diagnostics_new (void)
{
  RagifyDiagnostics *diagnostics = g_new0 (RagifyDiagnostics, 1);

  diagnostics->entries = g_ptr_array_new_with_free_func (g_free);
  diagnostics->file_orders = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  diagnostics->texts = g_string_chunk_new (4096);
  diagnostics->sorted = true;
  return diagnostics;
}

void
ragify_diagnostics_free (RagifyDiagnostics *diagnostics)
{
  if (diagnostics == NULL)
    return;
  g_ptr_array_unref (diagnostics->entries);
  g_hash_table_unref (diagnostics->file_orders);
  g_string_chunk_free (diagnostics->texts);
  g_free (diagnostics);
}

unsigned int
ragify_diagnostics_count (const RagifyDiagnostics *diagnostics, RagifySeverity severity)
{
  return diagnostics->counts[severity];
}

const RagifyDiagnostic *
ragify_diagnostics_get (const RagifyDiagnostics *diagnostics, unsigned int index)
{
  if (index >= diagnostics->entries->len)
    return NULL;
  sort (diagnostics);
  return &((const Entry *)g_ptr_array_index (diagnostics->entries, index))->diagnostic;
}

char *
ragify_diagnostic_to_text (const RagifyDiagnostic *diagnostic)
{
  GString *text = g_string_new (diagnostic->file);

  if (diagnostic->line > 0)
    g_string_append_printf (text, ":%u:%u", diagnostic->line, diagnostic->column);
  g_string_append_printf (text, ": %s: ", severity_names[diagnostic->severity]);
  if (diagnostic->group != NULL)
    g_string_append_printf (text, "[%s]: ", diagnostic->group);
  g_string_append (text, diagnostic->message);
  return g_string_free (text, FALSE);
}

char *
ragify_diagnostics_to_text (const RagifyDiagnostics *diagnostics)
{
  GString *text = g_string_new (NULL);
  const RagifyDiagnostic *diagnostic = NULL;

  for (unsigned int i = 0; (diagnostic = ragify_diagnostics_get (diagnostics, i)) != NULL; i++) {
    g_autofree char *line = ragify_diagnostic_to_text (diagnostic);

    g_string_append (text, line);
    g_string_append_c (text, '\n');
  }
  if (diagnostics->dropped > 0)
    g_string_append_printf (text, "… and %u more\n", diagnostics->dropped);
  return g_string_free (text, FALSE);
}

void
ragify_diagnostics_announce (RagifyDiagnostics *diagnostics, const char *file)
{
  file_order (diagnostics, file);
}

void
ragify_diagnostics_report (RagifyDiagnostics *diagnostics, RagifySeverity severity, const RagifyPlace *place,
                           const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  add (diagnostics, severity, place, format, arguments);
  va_end (arguments);
}

void
ragify_diagnostics_add (RagifyDiagnostics *diagnostics, RagifySeverity severity, const RagifyConfigNode *node,
                        const char *key, const char *format, ...)
{
  const RagifyConfigValue *value = key == NULL ? NULL : ragify_config_node_value (node, key);
  const RagifyOrigin *origin = value == NULL ? NULL : &value->origin;
  RagifyPlace place = { .group = ragify_config_node_group (node) };
  va_list arguments;

  if (origin == NULL || (origin->kind != RAGIFY_ORIGIN_FILE && origin->kind != RAGIFY_ORIGIN_COMMAND_LINE))
    origin = ragify_config_node_origin (node);
  place.file = origin->file == NULL ? "configuration" : origin->file;
  place.line = origin->line;
  place.column = origin->column;
  va_start (arguments, format);
  add (diagnostics, severity, &place, format, arguments);
  va_end (arguments);
}

char *
ragify_quote_n (const char *text, size_t size)
{
  enum { SHOWN = 64 };
  GString *quoted = g_string_new ("'");
  const char *at = text;
  const char *end = text + size;
  unsigned int shown = 0;

  for (; at < end && shown < SHOWN; at = g_utf8_next_char (at), shown++) {
    unsigned char first = (unsigned char)*at;

    if (first < 0x20 || first == 0x7f)
      g_string_append_printf (quoted, "\\x%02x", first);
    else
      g_string_append_len (quoted, at, g_utf8_next_char (at) - at);
  }
  if (at < end)
    g_string_append (quoted, "…");
  g_string_append_c (quoted, '\'');
  return g_string_free (quoted, FALSE);
}

char *
ragify_quote (const char *text)
{
  return ragify_quote_n (text, strlen (text));
}
