/* SPDX-License-Identifier: MIT */
#include "config/scanner.h"

#include <string.h>

typedef struct Line {
  const char *text;
  size_t size; /* without the line end */
  uint32_t number;
  bool sound; /* valid UTF-8 without control characters */
} Line;

/* Where a value's reading stands: whether a quote may open here, and whether one is open. */
typedef enum Quoting { QUOTING_MAY_OPEN, QUOTING_PLAIN, QUOTING_OPEN } Quoting;

typedef struct Scanner {
  RagifyScan *scan;
  RagifyDiagnostics *diagnostics;
  const char *next;
  const char *end;
  uint32_t line_number; /* of the line last taken */
  unsigned int errors;
  bool stopped;
  bool in_group;             /* entries belong to the last group of `scan` */
  bool skip_entries;         /* … or to a group whose head was wrong, which was reported */
  GHashTable *group_numbers; /* "kind name" → index + 1 */
  GHashTable *keys;          /* of the group being read: key → line */
  GString *value;
} Scanner;

static bool
is_blank (char c)
{
  return c == ' ' || c == '\t';
}

static RagifyScanGroup *
current_group (Scanner *s)
{
  if (!s->in_group)
    return NULL;
  return &g_array_index (s->scan->groups, RagifyScanGroup, s->scan->groups->len - 1);
}

static uint32_t
column_of (const Line *line, const char *at)
{
  return (uint32_t)g_utf8_strlen (line->text, at - line->text) + 1;
}

static void G_GNUC_PRINTF (4, 5) report (Scanner *s, uint32_t line, uint32_t column, const char *format, ...)
{
  RagifyScanGroup *group = current_group (s);
  RagifyPlace place = { s->scan->path, line, column, group == NULL ? NULL : group->text };
  g_autofree char *message = NULL;
  va_list arguments;

  if (s->stopped)
    return;
  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_diagnostics_report (s->diagnostics, RAGIFY_SEVERITY_ERROR, &place, "%s", message);
  if (group != NULL)
    group->damaged = true;
  if (++s->errors < RAGIFY_SCAN_ERRORS_MAX)
    return;
  ragify_diagnostics_report (s->diagnostics, RAGIFY_SEVERITY_ERROR, &place,
                             "%d errors of syntax; the rest of this file is not read. Is it a configuration file?",
                             RAGIFY_SCAN_ERRORS_MAX);
  s->stopped = true;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------ */

static bool
check_line (Scanner *s, const Line *line)
{
  const char *bad = NULL;

  if (memchr (line->text, '\0', line->size) != NULL) {
    report (s, line->number, 1, "a NUL byte; this is not a text file, and its rest is not read");
    s->stopped = true;
    return false;
  }
  if (!g_utf8_validate_len (line->text, line->size, &bad)) {
    report (s, line->number, (uint32_t)g_utf8_strlen (line->text, bad - line->text) + 1,
            "invalid UTF-8 (byte 0x%02x); configuration files are UTF-8", (unsigned char)*bad);
    return false;
  }
  for (const char *at = line->text; at < line->text + line->size; at++) {
    unsigned char c = (unsigned char)*at;

    if ((c < 0x20 && c != '\t') || c == 0x7f) {
      report (s, line->number, column_of (line, at),
              "control character 0x%02x; only blanks and tabs may stand in a line", c);
      return false;
    }
  }
  return true;
}

static bool
take_line (Scanner *s, Line *line)
{
  const char *end = NULL;

  if (s->stopped || s->next >= s->end)
    return false;
  end = memchr (s->next, '\n', (size_t)(s->end - s->next));
  line->text = s->next;
  s->next = end == NULL ? s->end : end + 1;
  if (end == NULL)
    end = s->end;
  if (end > line->text && end[-1] == '\r')
    end--;
  line->size = (size_t)(end - line->text);
  line->number = ++s->line_number;
  line->sound = check_line (s, line);
  return !s->stopped;
}

/* True when the first character that is not a blank is one of `marks`. */
static bool
begins_with (const char *at, const char *end, const char *marks)
{
  while (at < end && is_blank (*at))
    at++;
  return at < end && strchr (marks, *at) != NULL;
}

/* ---- Groups ----------------------------------------------------------------------------------------------------- */

bool
ragify_scan_is_name (const char *text, size_t size)
{
  if (size == 0 || size > RAGIFY_SCAN_NAME_MAX || !g_ascii_isalnum (text[0]))
    return false;
  for (size_t i = 1; i < size; i++)
    if (!g_ascii_isalnum (text[i]) && strchr ("._-", text[i]) == NULL)
      return false;
  return true;
}

bool
ragify_scan_is_word (const char *text, size_t size)
{
  if (size == 0 || size > RAGIFY_SCAN_NAME_MAX || !g_ascii_isalpha (text[0]))
    return false;
  for (size_t i = 1; i < size; i++)
    if (!g_ascii_isalnum (text[i]) && text[i] != '_' && text[i] != '-')
      return false;
  return true;
}

/* The next word of a group's head: up to a blank or `end`. */
static size_t
take_word (const char **at, const char *end)
{
  const char *start = NULL;

  while (*at < end && is_blank (**at))
    ++*at;
  start = *at;
  while (*at < end && !is_blank (**at))
    ++*at;
  return (size_t)(*at - start);
}

static void
begin_group (Scanner *s, const char *kind, const char *name, uint32_t line, uint32_t column)
{
  RagifyScanGroup group = { .line = line, .column = column, .first_entry = s->scan->entries->len };
  g_autofree char *text = *name == '\0' ? g_strdup (kind) : g_strconcat (kind, " ", name, NULL);
  unsigned int earlier = GPOINTER_TO_UINT (g_hash_table_lookup (s->group_numbers, text));

  group.kind = g_string_chunk_insert_const (s->scan->texts, kind);
  group.name = g_string_chunk_insert (s->scan->texts, name);
  group.text = g_string_chunk_insert (s->scan->texts, text);
  g_array_append_val (s->scan->groups, group);
  s->in_group = true;
  s->skip_entries = false;
  if (g_hash_table_size (s->keys) > 0)
    g_hash_table_remove_all (s->keys);
  if (earlier == 0) {
    g_hash_table_insert (s->group_numbers, (char *)group.text, GUINT_TO_POINTER (s->scan->groups->len));
    return;
  }
  report (s, line, column, "this group stands in this file already, at line %u; put its keys there",
          g_array_index (s->scan->groups, RagifyScanGroup, earlier - 1).line);
}

/* A head that is wrong: what follows it belongs nowhere, and saying so again for each line would help nobody. */
static void
skip_group (Scanner *s)
{
  s->in_group = false;
  s->skip_entries = true;
}

/* Reads "kind name" between `at` and `close` into the two, to be freed in any case. False: reported. */
static bool
scan_group_words (Scanner *s, const Line *line, const char *at, const char *close, char **kind, char **name)
{
  uint32_t column = column_of (line, at) - 1; /* of the '[' */
  size_t size = take_word (&at, close);
  g_autofree char *shown = NULL;

  *kind = g_strndup (at - size, size);
  size = take_word (&at, close);
  *name = g_strndup (at - size, size);
  if (**kind == '\0') {
    report (s, line->number, column, "an empty group; expected [kind] or [kind name]");
    return false;
  }
  if (!ragify_scan_is_word (*kind, strlen (*kind))) {
    shown = ragify_quote (*kind);
    report (s, line->number, column, "%s cannot be a kind of group; kinds are words of letters and '-'", shown);
    return false;
  }
  if (**name != '\0' && !ragify_scan_is_name (*name, strlen (*name))) {
    shown = ragify_quote (*name);
    report (s, line->number, column_of (line, at - size),
            "%s cannot be a name; names are letters, digits, '.', '_' and '-', begin with a letter or digit, and have "
            "at most "
            "%d characters",
            shown, RAGIFY_SCAN_NAME_MAX);
    return false;
  }
  if (take_word (&at, close) > 0) {
    report (s, line->number, column, "a group has a kind and one name, and this one has more words");
    return false;
  }
  return true;
}

static void
scan_group (Scanner *s, const Line *line, const char *open)
{
  const char *end = line->text + line->size;
  const char *close = memchr (open, ']', (size_t)(end - open));
  const char *at = close == NULL ? end : close + 1;
  g_autofree char *kind = NULL;
  g_autofree char *name = NULL;

  skip_group (s);
  if (close == NULL) {
    report (s, line->number, column_of (line, open), "a group without its closing ']'");
    return;
  }
  if (!scan_group_words (s, line, open + 1, close, &kind, &name))
    return;
  begin_group (s, kind, name, line->number, column_of (line, open));
  while (at < end && is_blank (*at))
    at++;
  if (at < end && *at != '#' && *at != ';')
    report (s, line->number, column_of (line, at), "text after the group's ']'; begin a new line for it");
}

/* ---- Entries ---------------------------------------------------------------------------------------------------- */

/* Takes in one line's part of a value, from `at`; returns where it ends: at a comment, at the line's end, or at the
 * backslash that continues it. */
static const char *
scan_value_part (const char *at, const char *end, Quoting *quoting, bool *continued)
{
  bool after_blank = false;

  *continued = false;
  for (; at < end; at++) {
    char c = *at;

    if (c == '\\' && at + 1 == end) {
      *continued = true;
      return at;
    }
    if (*quoting == QUOTING_OPEN) {
      if (c == '\\')
        at++;
      else if (c == '"')
        *quoting = QUOTING_PLAIN;
      after_blank = false;
      continue;
    }
    if (c == '#' && after_blank)
      return at;
    after_blank = is_blank (c);
    if (c == ';')
      *quoting = QUOTING_MAY_OPEN;
    else if (c == '"' && *quoting == QUOTING_MAY_OPEN)
      *quoting = QUOTING_OPEN;
    else if (!after_blank)
      *quoting = QUOTING_PLAIN;
  }
  return end;
}

static void
add_piece (Scanner *s, const Line *line, const char *at)
{
  RagifyScanPiece piece = { (uint32_t)s->value->len, line->number, column_of (line, at) };

  g_array_append_val (s->scan->pieces, piece);
}

static void
trim_end (GString *text)
{
  while (text->len > 0 && is_blank (text->str[text->len - 1]))
    g_string_truncate (text, text->len - 1);
}

/* The next line of a continued value; comments between are passed over. */
static bool
take_continuation (Scanner *s, Line *line)
{
  uint32_t last = s->line_number;

  do {
    if (take_line (s, line))
      continue;
    report (s, last, 1, "the file ends where a backslash promised another line");
    return false;
    /* A ';' may go on with a list. */
  } while (begins_with (line->text, line->text + line->size, "#"));
  return line->sound;
}

/* Reads the value that begins at `at` of `line` into s->value and its pieces. False: reported. */
static bool
scan_value (Scanner *s, Line line, const char *at)
{
  const Line first = line;
  uint32_t column = 0;
  Quoting quoting = QUOTING_MAY_OPEN;
  bool continued = true;

  g_string_truncate (s->value, 0);
  while (continued) {
    const char *end = line.text + line.size;
    const char *part_end = NULL;
    /* A comment may begin the value's part: then a blank (or '=') stands before it. */
    bool comment = false;

    while (at < end && is_blank (*at))
      at++;
    comment = at < end && *at == '#' && quoting != QUOTING_OPEN && at > line.text && is_blank (at[-1]);
    if (s->value->len > 0)
      g_string_append_c (s->value, ' ');
    add_piece (s, &line, at);
    if (column == 0)
      column = column_of (&line, at);
    part_end = comment ? at : scan_value_part (at, end, &quoting, &continued);
    if (comment)
      continued = false;
    g_string_append_len (s->value, at, part_end - at);
    if (s->value->len > RAGIFY_SCAN_VALUE_MAX) {
      report (s, first.number, column, "a value of more than %d KiB; long texts belong in a file of their own",
              RAGIFY_SCAN_VALUE_MAX / 1024);
      return false;
    }
    if (continued || quoting != QUOTING_OPEN)
      trim_end (s->value);
    if (continued && !take_continuation (s, &line))
      return false;
    at = line.text;
  }
  if (quoting == QUOTING_OPEN) {
    report (s, first.number, column, "a quoted text without its closing '\"'");
    return false;
  }
  return true;
}

static void
add_entry (Scanner *s, const char *key, size_t key_size, uint32_t line, uint32_t column, uint32_t first_piece)
{
  RagifyScanEntry entry = { .line = line, .column = column, .first_piece = first_piece };
  RagifyScanGroup *group = current_group (s);
  g_autofree char *copy = g_strndup (key, key_size);
  unsigned int earlier = 0;

  entry.key = g_string_chunk_insert_const (s->scan->texts, copy);
  earlier = GPOINTER_TO_UINT (g_hash_table_lookup (s->keys, entry.key));
  if (earlier != 0) {
    report (s, line, column, "'%s' was given at line %u already", entry.key, earlier);
    return;
  }
  g_hash_table_insert (s->keys, (char *)entry.key, GUINT_TO_POINTER (line));
  entry.value = g_string_chunk_insert_len (s->scan->texts, s->value->str, (gssize)s->value->len);
  entry.n_pieces = s->scan->pieces->len - first_piece;
  g_array_append_val (s->scan->entries, entry);
  group->n_entries++;
}

static void
scan_entry (Scanner *s, const Line *line, const char *key)
{
  const char *end = line->text + line->size;
  const char *equals = memchr (key, '=', (size_t)(end - key));
  const char *key_end = equals;
  uint32_t column = column_of (line, key);
  uint32_t first_piece = s->scan->pieces->len;
  bool value_sound = false;

  if (equals == NULL) {
    g_autofree char *shown = ragify_quote_n (key, (size_t)(end - key));
    if (!s->skip_entries)
      report (s, line->number, column, "expected key = value, [group] or a comment, found %s", shown);
    return;
  }
  while (key_end > key && is_blank (key_end[-1]))
    key_end--;
  value_sound = scan_value (s, *line, equals + 1);
  if (s->skip_entries || s->stopped)
    return;
  if (!ragify_scan_is_word (key, (size_t)(key_end - key))) {
    g_autofree char *shown = ragify_quote_n (key, (size_t)(key_end - key));
    report (s, line->number, column, "%s cannot be a key; keys are words of letters, digits and '-'", shown);
    return;
  }
  if (!s->in_group) {
    report (s, line->number, column, "'%.*s' stands before the first [group]", (int)(key_end - key), key);
    return;
  }
  if (value_sound)
    add_entry (s, key, (size_t)(key_end - key), line->number, column, first_piece);
}

static void
scan_line (Scanner *s, const Line *line)
{
  const char *at = line->text;
  const char *end = line->text + line->size;

  if (!line->sound || begins_with (at, end, "#;"))
    return;
  while (at < end && is_blank (*at))
    at++;
  if (at == end)
    return;
  if (*at == '[')
    scan_group (s, line, at);
  else
    scan_entry (s, line, at);
}

RagifyScan *
ragify_scan_new (const char *path)
{
  RagifyScan *scan = g_new0 (RagifyScan, 1);

  scan->path = g_strdup (path);
  scan->groups = g_array_new (FALSE, FALSE, sizeof (RagifyScanGroup));
  scan->entries = g_array_new (FALSE, FALSE, sizeof (RagifyScanEntry));
  scan->pieces = g_array_new (FALSE, FALSE, sizeof (RagifyScanPiece));
  scan->texts = g_string_chunk_new (4096);
  return scan;
}

RagifyScan *
ragify_scan_bytes (const char *path, const char *bytes, size_t size, RagifyDiagnostics *diagnostics)
{
  static const char byte_order_mark[] = "\xef\xbb\xbf";
  /* Nothing read is nothing to point at. */
  const char *begin = bytes == NULL ? "" : bytes;
  Scanner s = { .scan = ragify_scan_new (path), .diagnostics = diagnostics, .next = begin, .end = begin + size };
  Line line = { 0 };

  if (size > RAGIFY_SCAN_FILE_MAX) {
    RagifyPlace place = { .file = path };
    ragify_diagnostics_report (diagnostics, RAGIFY_SEVERITY_ERROR, &place,
                               "larger than %d MiB; this is not a configuration file", RAGIFY_SCAN_FILE_MAX >> 20);
    return s.scan;
  }
  if (size >= 3 && memcmp (begin, byte_order_mark, 3) == 0)
    s.next += 3;
  s.group_numbers = g_hash_table_new (g_str_hash, g_str_equal);
  s.keys = g_hash_table_new (g_str_hash, g_str_equal);
  s.value = g_string_new (NULL);
  while (take_line (&s, &line))
    scan_line (&s, &line);
  g_hash_table_unref (s.group_numbers);
  g_hash_table_unref (s.keys);
  g_string_free (s.value, TRUE);
  return s.scan;
}

void
ragify_scan_add (RagifyScan *scan, const char *group, const char *key, const char *value, uint32_t line,
                 uint32_t column, uint32_t value_column)
{
  g_auto (GStrv) words = g_strsplit (group, " ", 2);
  RagifyScanGroup new_group = { .line = line, .column = column, .first_entry = scan->entries->len, .n_entries = 1 };
  RagifyScanEntry entry = { .line = line, .column = column, .first_piece = scan->pieces->len, .n_pieces = 1 };
  RagifyScanPiece piece = { 0, line, value_column };

  new_group.text = g_string_chunk_insert (scan->texts, group);
  new_group.kind = g_string_chunk_insert (scan->texts, words[0]);
  new_group.name = g_string_chunk_insert (scan->texts, words[1] == NULL ? "" : words[1]);
  entry.key = g_string_chunk_insert (scan->texts, key);
  entry.value = g_string_chunk_insert (scan->texts, value);
  g_array_append_val (scan->groups, new_group);
  g_array_append_val (scan->entries, entry);
  g_array_append_val (scan->pieces, piece);
}

void
ragify_scan_free (RagifyScan *scan)
{
  if (scan == NULL)
    return;
  g_free (scan->path);
  g_array_unref (scan->groups);
  g_array_unref (scan->entries);
  g_array_unref (scan->pieces);
  g_string_chunk_free (scan->texts);
  g_free (scan);
}

void
ragify_scan_locate (const RagifyScan *scan, const RagifyScanEntry *entry, size_t offset, unsigned int *line,
                    unsigned int *column)
{
  const RagifyScanPiece *pieces = &g_array_index (scan->pieces, RagifyScanPiece, entry->first_piece);
  const RagifyScanPiece *piece = pieces;

  for (uint32_t i = 1; i < entry->n_pieces && pieces[i].offset <= offset; i++)
    piece = &pieces[i];
  *line = piece->line;
  *column = piece->column +
            (unsigned int)g_utf8_strlen (entry->value + piece->offset, (gssize)offset - (gssize)piece->offset);
}
