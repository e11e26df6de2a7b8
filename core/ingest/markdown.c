/* SPDX-License-Identifier: MIT */
#include "core/ingest/markdown.h"

#include <cmark.h>
#include <string.h>

#define LEVELS 6

typedef struct Outline {
  const char *text;
  gsize size;
  const json_t *metadata;
  GArray *sections;
  char *headings[LEVELS]; /* in force, by level; NULL: none */
  gsize begin;            /* of the section under way */
  gboolean bare;          /* it has nothing but headings so far */
} Outline;

static char *
metadata_of (const Outline *outline)
{
  json_t *headings = json_array ();
  for (guint i = 0; i < LEVELS; i++)
    if (outline->headings[i] != NULL)
      json_array_append_new (headings, json_string (outline->headings[i]));
  json_t *object = json_deep_copy (outline->metadata);
  if (json_array_size (headings) > 0)
    json_object_set (object, "headings", headings);
  char *text = json_dumps (object, JSON_COMPACT | JSON_SORT_KEYS);
  char *copy = g_strdup (text);
  free (text);
  json_decref (headings);
  json_decref (object);
  return copy;
}

static void
end_section (Outline *outline, gsize end)
{
  if (end <= outline->begin)
    return;
  const RagifySection section = { outline->begin, end, metadata_of (outline) };
  g_array_append_val (outline->sections, section);
  outline->begin = end;
}

static void
gather_text (cmark_node *heading, GString *text)
{
  cmark_iter *walk = cmark_iter_new (heading);
  for (cmark_event_type event = cmark_iter_next (walk); event != CMARK_EVENT_DONE; event = cmark_iter_next (walk)) {
    cmark_node *node = cmark_iter_get_node (walk);
    const cmark_node_type type = cmark_node_get_type (node);
    if (event != CMARK_EVENT_ENTER)
      continue;
    if (type == CMARK_NODE_TEXT || type == CMARK_NODE_CODE)
      g_string_append (text, cmark_node_get_literal (node));
    else if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK)
      g_string_append_c (text, ' ');
  }
  cmark_iter_free (walk);
}

/* From here on `heading` is in force, and those of deeper levels are not. */
static void
take_heading (Outline *outline, cmark_node *heading, char **title)
{
  const guint level = (guint)CLAMP (cmark_node_get_heading_level (heading), 1, LEVELS);
  g_autoptr (GString) text = g_string_new (NULL);
  gather_text (heading, text);
  for (guint i = level - 1; i < LEVELS; i++)
    g_clear_pointer (&outline->headings[i], g_free);
  g_strstrip (text->str);
  if (*text->str == '\0')
    return;
  outline->headings[level - 1] = g_strdup (text->str);
  if (level == 1 && *title == NULL)
    *title = g_strdup (text->str);
}

/* Where the text behind a front matter begins. */
static gsize
skip_front_matter (const char *text)
{
  if (strncmp (text, "---\n", 4) != 0 && strncmp (text, "---\r\n", 5) != 0)
    return 0;
  const char *end = strstr (text + 4, "\n---");
  if (end == NULL || (end[4] != '\n' && end[4] != '\r' && end[4] != '\0'))
    return 0;
  const char *line = strchr (end + 4, '\n');
  return line != NULL ? (gsize)(line + 1 - text) : strlen (text);
}

/* Where each line begins, as the parser counts them: "\n", "\r\n" and "\r" end one. */
static GArray *
find_lines (const char *text, gsize size)
{
  GArray *lines = g_array_new (FALSE, FALSE, sizeof (gsize));
  gsize begin = 0;
  g_array_append_val (lines, begin);
  for (gsize i = 0; i < size; i++) {
    begin = i + 1;
    if (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n'))
      g_array_append_val (lines, begin);
  }
  return lines;
}

static void
walk_blocks (Outline *outline, cmark_node *document, gsize front, char **title)
{
  g_autoptr (GArray) lines = find_lines (outline->text + front, outline->size - front);
  for (cmark_node *block = cmark_node_first_child (document); block != NULL; block = cmark_node_next (block)) {
    const int line = cmark_node_get_start_line (block);
    if (cmark_node_get_type (block) != CMARK_NODE_HEADING) {
      outline->bare = FALSE;
      continue;
    }
    if (!outline->bare && line >= 1 && (guint)line <= lines->len)
      end_section (outline, front + g_array_index (lines, gsize, line - 1));
    outline->bare = TRUE;
    take_heading (outline, block, title);
  }
  end_section (outline, outline->size);
}

GArray *
ragify_markdown_sections (const char *text, gsize size, const json_t *metadata, char **title)
{
  Outline outline = { .text = text, .size = size, .metadata = metadata, .sections = ragify_sections_new () };
  const gsize front = skip_front_matter (text);
  cmark_node *document = cmark_parse_document (text + front, size - front, CMARK_OPT_DEFAULT);
  *title = NULL;
  outline.begin = front;
  outline.bare = TRUE; /* a text that begins with a heading has no section before it */
  walk_blocks (&outline, document, front, title);
  cmark_node_free (document);
  for (guint i = 0; i < LEVELS; i++)
    g_free (outline.headings[i]);
  return outline.sections;
}
