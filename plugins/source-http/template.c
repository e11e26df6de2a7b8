/* SPDX-License-Identifier: MIT */
#include "template.h"

#include "http-settings.h"

#include <string.h>

typedef enum Part { PART_TEXT, PART_QUERY, PART_LIMIT } Part;

typedef struct Segment {
  Part part;
  char *text; /* PART_TEXT */
} Segment;

struct HttpTemplate {
  HttpEscape escape;
  GArray *segments;
};

static void
segment_clear (gpointer data)
{
  g_free (((Segment *)data)->text);
}

static void
add_text (HttpTemplate *template, const char *text, gsize size)
{
  if (size == 0)
    return;
  const Segment segment = { .part = PART_TEXT, .text = g_strndup (text, size) };
  g_array_append_val (template->segments, segment);
}

/* What the place that begins at `open` is; its size, or 0 where it is none. */
static gsize
add_place (HttpTemplate *template, const char *open, const char *base_url)
{
  if (g_str_has_prefix (open, "{base-url}")) {
    add_text (template, base_url, strlen (base_url));
    return strlen ("{base-url}");
  }
  static const struct {
    const char *name;
    Part part;
  } places[] = { { "{query}", PART_QUERY }, { "{limit}", PART_LIMIT } };
  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    if (!g_str_has_prefix (open, places[i].name))
      continue;
    const Segment segment = { .part = places[i].part };
    g_array_append_val (template->segments, segment);
    return strlen (places[i].name);
  }
  return 0;
}

HttpTemplate *
http_template_new (const char *text, HttpEscape escape, const char *base_url, const char *key, RagifyFault *fault)
{
  HttpTemplate *template = g_new0 (HttpTemplate, 1);
  template->escape = escape;
  template->segments = g_array_new (FALSE, FALSE, sizeof (Segment));
  g_array_set_clear_func (template->segments, segment_clear);
  const char *begin = text;
  for (const char *open = strchr (text, '{'); open != NULL;) {
    add_text (template, begin, (gsize)(open - begin));
    const gsize size = add_place (template, open, base_url);
    if (size == 0 && escape == HTTP_ESCAPE_URL) {
      ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected {query}, {limit} or {base-url}, found %.*s", key,
                        (int)MIN (strcspn (open, "}") + 1, 64), open);
      http_template_free (template);
      return NULL;
    }
    begin = open + size;
    open = strchr (open + MAX (size, 1), '{');
  }
  add_text (template, begin, strlen (begin));
  return template;
}

void
http_template_free (HttpTemplate *template)
{
  if (template == NULL)
    return;
  g_array_unref (template->segments);
  g_free (template);
}

/* RFC 8259, 7: what must be escaped inside a string, and DEL for those who read loosely. */
static void
append_json (GString *out, RagifyStr text)
{
  for (guint64 i = 0; i < text.size; i++) {
    const guchar c = (guchar)text.data[i];
    if (c == '"' || c == '\\')
      g_string_append_printf (out, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
      g_string_append_printf (out, "\\u%04x", c);
    else
      g_string_append_c (out, (char)c);
  }
}

char *
http_template_fill (const HttpTemplate *template, RagifyStr query, guint limit)
{
  GString *out = g_string_sized_new (256);
  for (guint i = 0; i < template->segments->len; i++) {
    const Segment *segment = &g_array_index (template->segments, Segment, i);
    if (segment->part == PART_TEXT) {
      g_string_append (out, segment->text);
    } else if (segment->part == PART_LIMIT) {
      g_string_append_printf (out, "%u", limit);
    } else if (template->escape == HTTP_ESCAPE_JSON) {
      append_json (out, query);
    } else {
      g_autofree char *escaped = ragify_http_escape (query.data, query.size);
      g_string_append (out, escaped);
    }
  }
  return g_string_free (out, FALSE);
}
