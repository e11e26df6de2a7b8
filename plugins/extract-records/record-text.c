#include "record-text.h"

#include "json-pointer.h"

#include <string.h>

/* ---- which fields ---- */

static gboolean
check (const char *key, const char *field, RagifyFault *fault)
{
  if (*field != '/' || ragify_json_pointer_valid (field))
    return TRUE;
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected a name or a JSON pointer, found '%.100s'", key,
                           field);
}

static gboolean
read_list (const char *key, char ***list, const RagifyHost *host, RagifyContext *context, RagifyFault *fault)
{
  RagifyStrList given = { NULL, 0 };
  GPtrArray *fields = g_ptr_array_new ();
  gboolean well = TRUE;
  if (host->config_list (context, key, &given) == RAGIFY_OK)
    for (guint64 i = 0; i < given.count; i++) {
      char *field = g_strndup (given.items[i].data, given.items[i].size);
      g_ptr_array_add (fields, field);
      well = well && check (key, field, fault);
    }
  g_ptr_array_add (fields, NULL);
  *list = (char **)g_ptr_array_free (fields, FALSE);
  return well;
}

gboolean
record_fields_read (RecordFields *fields, const RagifyHost *host, RagifyContext *context, RagifyFault *fault)
{
  RagifyStr title = { NULL, 0 };
  *fields = (RecordFields){ NULL, NULL, NULL };
  const gboolean well = read_list ("content", &fields->content, host, context, fault) &&
                        read_list ("metadata", &fields->metadata, host, context, fault);
  if (host->config_string (context, "title", &title) == RAGIFY_OK && title.size > 0)
    fields->title = g_strndup (title.data, title.size);
  return well && (fields->title == NULL || check ("title", fields->title, fault));
}

void
record_fields_clear (RecordFields *fields)
{
  g_strfreev (fields->content);
  g_strfreev (fields->metadata);
  g_free (fields->title);
}

/* ---- values ---- */

static const json_t *
value_of (const json_t *record, const char *field)
{
  return *field == '/' ? ragify_json_pointer_get (record, field) : json_object_get (record, field);
}

/* A value as people would write it; NULL: there is none. */
static char *
text_of (const json_t *value)
{
  if (value == NULL || json_is_null (value))
    return NULL;
  if (json_is_string (value))
    return g_strndup (json_string_value (value), json_string_length (value));
  char *dumped = json_dumps (value, JSON_COMPACT | JSON_ENCODE_ANY);
  char *text = g_strdup (dumped);
  free (dumped);
  return text;
}

/* The last part of a pointer, or the name itself. */
static const char *
label_of (const char *field)
{
  const char *slash = *field == '/' ? strrchr (field, '/') : NULL;
  return slash != NULL ? slash + 1 : field;
}

static void
add_field (GString *text, const char *label, const json_t *value)
{
  g_autofree char *words = text_of (value);
  if (words == NULL || *g_strstrip (words) == '\0')
    return;
  if (text->len > 0)
    g_string_append_c (text, '\n');
  if (label != NULL)
    g_string_append_printf (text, "%s: ", label);
  g_string_append (text, words);
}

static void
add_all (GString *text, const RecordFields *fields, const json_t *record)
{
  const char *name = NULL;
  json_t *value = NULL;
  json_object_foreach ((json_t *)record, name,
                       value) if (!g_str_equal (name, fields->title != NULL ? fields->title : "title"))
      add_field (text, name, value);
}

static GString *
content_of (const RecordFields *fields, const json_t *record)
{
  static const char *const usual[] = { "content", "text", "body" };
  GString *text = g_string_new (NULL);
  const gboolean several = fields->content[0] != NULL && fields->content[1] != NULL;
  for (char **field = fields->content; *field != NULL; field++)
    add_field (text, several ? label_of (*field) : NULL, value_of (record, *field));
  for (guint i = 0; i < G_N_ELEMENTS (usual) && fields->content[0] == NULL && text->len == 0; i++)
    add_field (text, NULL, json_object_get (record, usual[i]));
  if (fields->content[0] == NULL && text->len == 0)
    add_all (text, fields, record);
  return text;
}

static char *
metadata_of (const RecordFields *fields, const json_t *record, guint64 line)
{
  json_t *metadata = json_object ();
  json_object_set_new (metadata, "line", json_integer ((json_int_t)line));
  for (char **field = fields->metadata; *field != NULL; field++) {
    const json_t *value = value_of (record, *field);
    if (value != NULL && !json_is_null (value))
      json_object_set (metadata, label_of (*field), (json_t *)value);
  }
  char *dumped = json_dumps (metadata, JSON_COMPACT);
  char *text = g_strdup (dumped);
  free (dumped);
  json_decref (metadata);
  return text;
}

/* ---- pieces ---- */

void
record_text_leave_out (RagifyPieces *pieces, guint64 line, const char *reason)
{
  g_autofree char *place = g_strdup_printf ("line %" G_GUINT64_FORMAT, line);
  ragify_pieces_leave_out (pieces, place, reason);
}

void
record_text_give (const RecordFields *fields, const json_t *record, guint64 line, RagifyPieces *pieces)
{
  if (!json_is_object (record)) {
    record_text_leave_out (pieces, line, "is no object");
    return;
  }
  g_autoptr (GString) content = content_of (fields, record);
  if (content->len == 0) {
    record_text_leave_out (pieces, line, "has no text in the fields that make its content");
    return;
  }
  g_autofree char *metadata = metadata_of (fields, record, line);
  g_autofree char *title = text_of (value_of (record, fields->title != NULL ? fields->title : "title"));
  ragify_pieces_describe (pieces, metadata);
  ragify_pieces_break (pieces);
  if (title != NULL)
    ragify_pieces_add (pieces, title, strlen (title));
  if (pieces->text->len > 0)
    ragify_pieces_end (pieces, 1);
  else
    ragify_pieces_forget_heading (pieces);
  ragify_pieces_add_raw (pieces, content->str, content->len);
  ragify_pieces_end (pieces, 0);
}
