/* Fuzz target of the configuration's scanner and of everything that takes a value apart. SPDX-License-Identifier: MIT
 *
 * With clang and -fsanitize=fuzzer it is a libFuzzer target (tests/fuzz/config-run builds and runs it); with replay.c
 * it is a program of its own that runs the files that it is given, and mutations of them.
 */
#include "config/host-keys.h"
#include "config/redact.h"
#include "config/scanner.h"
#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const char *const environment[] = { "A=b;c", "HOME=/h", "EMPTY=", NULL };

static const RagifyKey keys[] = {
  { .name = "string", .type = RAGIFY_KEY_STRING },
  { .name = "int", .type = RAGIFY_KEY_INT, .minimum = "-5", .maximum = "5" },
  { .name = "double", .type = RAGIFY_KEY_DOUBLE, .minimum = "0" },
  { .name = "bool", .type = RAGIFY_KEY_BOOL },
  { .name = "duration", .type = RAGIFY_KEY_DURATION, .maximum = "1d" },
  { .name = "size", .type = RAGIFY_KEY_SIZE },
  { .name = "path", .type = RAGIFY_KEY_PATH },
  { .name = "uri", .type = RAGIFY_KEY_URI },
  { .name = "enum", .type = RAGIFY_KEY_ENUM, .choices = "one|two|three" },
  { .name = "list", .type = RAGIFY_KEY_LIST },
  { .name = "secret", .type = RAGIFY_KEY_SECRET },
};

static void
require (bool condition, const char *what)
{
  if (condition)
    return;
  fprintf (stderr, "does not hold: %s\n", what);
  abort ();
}

/* What is printed must be read back as the same: --print-config promises it. */
static void
check_written_back (const RagifyKey *key, const RagifyConfigValue *value, const RagifyValueContext *context)
{
  g_autofree char *text = ragify_value_to_text (value);
  RagifyConfigValue again = { .key = key->name, .origin.kind = RAGIFY_ORIGIN_FILE };
  RagifyTextError error = { 0 };
  bool hidden = false;
  g_autofree char *text_again = NULL;

  require (ragify_value_parse (key, text, context, &again, &hidden, &error), "a printed value is taken");
  text_again = ragify_value_to_text (&again);
  require (strcmp (text, text_again) == 0, "a printed value means the same");
  ragify_value_clear (&again);
}

static void
take_value (const RagifyKey *key, const RagifyScan *scan, const RagifyScanEntry *entry)
{
  const RagifyValueContext context = { .environment = environment, .state_dir = "/state" };
  RagifyConfigValue value = { .key = key->name, .origin.kind = RAGIFY_ORIGIN_FILE };
  RagifyTextError error = { 0 };
  bool hidden = false;
  unsigned int line = 0;
  unsigned int column = 0;

  if (ragify_value_parse (key, entry->value, &context, &value, &hidden, &error)) {
    check_written_back (key, &value, &context);
    ragify_value_clear (&value);
    return;
  }
  require (error.offset <= strlen (entry->value), "an error lies inside the value");
  require (g_utf8_validate (error.message, -1, NULL), "an error is UTF-8");
  ragify_scan_locate (scan, entry, error.offset, &line, &column);
  require (line >= entry->line && column > 0, "an error has a place");
  g_free (error.message);
}

static void
take_entry (const RagifyScan *scan, const RagifyScanEntry *entry)
{
  g_autofree char *shown = ragify_redact (entry->value);

  require (g_utf8_validate (entry->value, -1, NULL), "a value is UTF-8");
  require (g_utf8_validate (shown, -1, NULL), "a redacted value is UTF-8");
  require (entry->n_pieces > 0 && entry->line > 0 && entry->column > 0, "an entry has a place");
  /* One type for each entry, which the input chooses by the key: all of them for all would cost most of the time. */
  take_value (&keys[g_str_hash (entry->key) % G_N_ELEMENTS (keys)], scan, entry);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  RagifyDiagnostics *diagnostics = ragify_diagnostics_new ();
  RagifyScan *scan = ragify_scan_bytes ("fuzz.conf", (const char *)data, size, diagnostics);
  g_autofree char *text = ragify_diagnostics_to_text (diagnostics);

  require (g_utf8_validate (text, -1, NULL), "diagnostics are UTF-8");
  for (unsigned int i = 0; i < scan->groups->len; i++) {
    const RagifyScanGroup *group = &g_array_index (scan->groups, RagifyScanGroup, i);

    require (group->first_entry + group->n_entries <= scan->entries->len, "a group's entries exist");
    require (*group->kind != '\0' && group->line > 0, "a group has a kind and a place");
  }
  for (unsigned int i = 0; i < scan->entries->len; i++)
    take_entry (scan, &g_array_index (scan->entries, RagifyScanEntry, i));
  ragify_scan_free (scan);
  ragify_diagnostics_free (diagnostics);
  return 0;
}
