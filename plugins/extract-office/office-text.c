/* SPDX-License-Identifier: MIT */
#include "office-text.h"

#include <ragify/ragify.h>
#include <stdlib.h>
#include <string.h>

typedef struct Walk {
  RagifyPieces *pieces;
  guint level;   /* of the paragraph under way; 0: no heading */
  int skipped;   /* the depth of the element whose content is left out; −1: none is */
  gboolean text; /* docx: inside w:t */
} Walk;

static gboolean
is_called (const char *name, const char *const *names)
{
  for (; *names != NULL; names++)
    if (strcmp (name, *names) == 0)
      return TRUE;
  return FALSE;
}

static char *
attribute (xmlTextReaderPtr reader, const char *name)
{
  xmlChar *value = xmlTextReaderGetAttribute (reader, (const xmlChar *)name);
  char *copy = g_strdup ((const char *)value);
  xmlFree (value);
  return copy;
}

/* Whether the node is inside what is left out, which begins with an element of one of `names`. */
static gboolean
skips (Walk *walk, xmlTextReaderPtr reader, const char *name, const char *const *names)
{
  const int depth = xmlTextReaderDepth (reader), type = xmlTextReaderNodeType (reader);
  if (walk->skipped >= 0) {
    if (type == XML_READER_TYPE_END_ELEMENT && depth == walk->skipped)
      walk->skipped = -1;
    return TRUE;
  }
  if (type != XML_READER_TYPE_ELEMENT || !is_called (name, names))
    return FALSE;
  if (!xmlTextReaderIsEmptyElement (reader))
    walk->skipped = depth;
  return TRUE;
}

static void
add_text (Walk *walk, xmlTextReaderPtr reader)
{
  const char *text = (const char *)xmlTextReaderConstValue (reader);
  if (text != NULL)
    ragify_pieces_add (walk->pieces, text, strlen (text));
}

static gboolean
is_text (int type)
{
  return type == XML_READER_TYPE_TEXT || type == XML_READER_TYPE_CDATA ||
         type == XML_READER_TYPE_SIGNIFICANT_WHITESPACE || type == XML_READER_TYPE_WHITESPACE;
}

/* ---- docx ---- */

static guint
level_of_style (const char *style)
{
  if (style == NULL)
    return 0;
  if (g_ascii_strcasecmp (style, "Title") == 0)
    return 1;
  if (g_ascii_strncasecmp (style, "Heading", 7) != 0)
    return 0;
  const int level = atoi (style + 7 + strspn (style + 7, " _"));
  return level >= 1 && level <= 6 ? (guint)level : 0;
}

static void
begin_docx (Walk *walk, xmlTextReaderPtr reader, const char *name)
{
  if (strcmp (name, "w:p") == 0)
    ragify_pieces_end (walk->pieces, 0);
  else if (strcmp (name, "w:pStyle") == 0) {
    g_autofree char *style = attribute (reader, "w:val");
    walk->level = MAX (walk->level, level_of_style (style));
  } else if (strcmp (name, "w:outlineLvl") == 0) {
    g_autofree char *value = attribute (reader, "w:val");
    const int level = value != NULL ? atoi (value) + 1 : 0;
    walk->level = level >= 1 && level <= 6 ? (guint)level : walk->level;
  } else if (is_called (name, (const char *const[]){ "w:tab", "w:br", "w:cr", "w:tc", NULL }))
    ragify_pieces_add (walk->pieces, " ", 1);
  else if (strcmp (name, "w:noBreakHyphen") == 0)
    ragify_pieces_add (walk->pieces, "-", 1);
}

static gboolean
visit_docx (xmlTextReaderPtr reader, void *user)
{
  /* Deleted text, field codes, and what AlternateContent says a second time. */
  static const char *const out[] = {
    "w:del", "w:instrText", "mc:Fallback", "w:pPrChange", "w:tblPr", "w:sectPr", NULL
  };
  Walk *walk = user;
  const char *name = (const char *)xmlTextReaderConstName (reader);
  const int type = xmlTextReaderNodeType (reader);
  if (name == NULL || skips (walk, reader, name, out))
    return !walk->pieces->stopped;
  if (strcmp (name, "w:t") == 0)
    walk->text = type == XML_READER_TYPE_ELEMENT && !xmlTextReaderIsEmptyElement (reader);
  else if (type == XML_READER_TYPE_ELEMENT)
    begin_docx (walk, reader, name);
  else if (walk->text && is_text (type))
    add_text (walk, reader);
  else if (type == XML_READER_TYPE_END_ELEMENT && strcmp (name, "w:p") == 0) {
    ragify_pieces_end (walk->pieces, walk->level);
    walk->level = 0;
  }
  return !walk->pieces->stopped;
}

/* ---- odt ---- */

static gboolean
visit_odt (xmlTextReaderPtr reader, void *user)
{
  static const char *const out[] = { "office:annotation",
                                     "text:tracked-changes",
                                     "office:forms",
                                     "text:sequence-decls",
                                     "office:automatic-styles",
                                     "office:font-face-decls",
                                     NULL };
  static const char *const blanks[] = { "text:s", "text:tab", "text:line-break", "table:table-cell", NULL };
  Walk *walk = user;
  const char *name = (const char *)xmlTextReaderConstName (reader);
  const int type = xmlTextReaderNodeType (reader);
  if (name == NULL || skips (walk, reader, name, out))
    return !walk->pieces->stopped;
  const gboolean heading = strcmp (name, "text:h") == 0, block = heading || strcmp (name, "text:p") == 0;
  if (is_text (type))
    add_text (walk, reader);
  else if (type == XML_READER_TYPE_ELEMENT && block) {
    ragify_pieces_end (walk->pieces, 0);
    g_autofree char *level = heading ? attribute (reader, "text:outline-level") : NULL;
    walk->level = heading ? (guint)CLAMP (level != NULL ? atoi (level) : 1, 1, 6) : 0;
  } else if (type == XML_READER_TYPE_ELEMENT && is_called (name, blanks))
    ragify_pieces_add (walk->pieces, " ", 1);
  else if (type == XML_READER_TYPE_END_ELEMENT && block) {
    ragify_pieces_end (walk->pieces, walk->level);
    walk->level = 0;
  }
  return !walk->pieces->stopped;
}

/* ---- the title ---- */

typedef struct Title {
  GString *text;
  gboolean inside;
} Title;

static gboolean
visit_title (xmlTextReaderPtr reader, void *user)
{
  Title *title = user;
  const char *name = (const char *)xmlTextReaderConstName (reader);
  const int type = xmlTextReaderNodeType (reader);
  if (name != NULL && strcmp (name, "dc:title") == 0)
    title->inside = type == XML_READER_TYPE_ELEMENT && !xmlTextReaderIsEmptyElement (reader);
  else if (title->inside && is_text (type))
    g_string_append (title->text, (const char *)xmlTextReaderConstValue (reader));
  return title->text->len < 1000;
}

static char *
title_of (OfficePackage *package, const char *part)
{
  Title title = { .text = g_string_new (NULL) };
  RagifyFault fault = { 0 };
  office_package_read (package, part, visit_title, &title, &fault);
  char *text = g_strstrip (g_string_free (title.text, FALSE));
  if (*text == '\0')
    g_clear_pointer (&text, g_free);
  return text;
}

/* ---- the whole ---- */

gboolean
office_text (OfficePackage *package, RagifyPieces *pieces, char **title, RagifyFault *fault)
{
  static const struct {
    const char *text, *about;
    OfficeVisit visit;
  } kinds[] = { { "word/document.xml", "docProps/core.xml", visit_docx }, { "content.xml", "meta.xml", visit_odt } };
  *title = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    Walk walk = { .pieces = pieces, .skipped = -1 };
    const OfficeOutcome outcome = office_package_read (package, kinds[i].text, kinds[i].visit, &walk, fault);
    if (outcome == OFFICE_FAILED)
      return FALSE;
    if (outcome == OFFICE_ABSENT)
      continue;
    ragify_pieces_end (pieces, walk.level);
    *title = title_of (package, kinds[i].about);
    return TRUE;
  }
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "is neither a docx nor an OpenDocument text");
}
