#include "records.h"

#include <math.h>
#include <string.h>

/* ---- ids ---- */

void
chroma_write_uuid (const RagifyUuid *uuid, char text[37])
{
  static const char digits[] = "0123456789abcdef";
  for (guint i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *text++ = '-';
    *text++ = digits[uuid->bytes[i] >> 4];
    *text++ = digits[uuid->bytes[i] & 15];
  }
  *text = '\0';
}

gboolean
chroma_read_uuid (const char *text, RagifyUuid *uuid)
{
  guint at = 0;
  for (; *text != '\0'; text++) {
    const int digit = g_ascii_xdigit_value (*text);
    if (*text == '-')
      continue;
    if (digit < 0 || at == 32)
      return FALSE;
    uuid->bytes[at / 2] = (guint8)(uuid->bytes[at / 2] << 4 | digit);
    at++;
  }
  return at == 32;
}

/* ---- vectors ---- */

json_t *
chroma_write_vector (const float *vector, guint32 dimension)
{
#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "vectors are sent as the floats of a little-endian machine"
#endif
  g_autofree char *text = g_base64_encode ((const guchar *)vector, dimension * sizeof *vector);
  return json_string (text);
}

gboolean
chroma_read_vector (const json_t *list, float *vector, guint32 dimension)
{
  if (json_array_size (list) != dimension)
    return FALSE;
  for (guint32 i = 0; i < dimension; i++) {
    const json_t *number = json_array_get (list, i);
    if (!json_is_number (number))
      return FALSE;
    vector[i] = (float)json_number_value (number);
  }
  return TRUE;
}

/* ---- metadata ---- */

static json_t *
string_of (RagifyStr text)
{
  return json_stringn (text.data != NULL ? text.data : "", text.size);
}

static json_t *
parse (RagifyStr metadata)
{
  json_t *json = metadata.size == 0 ? json_object () : json_loadb (metadata.data, metadata.size, JSON_ALLOW_NUL, NULL);
  if (json_is_object (json))
    return json;
  json_decref (json);
  return NULL;
}

gboolean
chroma_metadata_ok (RagifyStr metadata)
{
  json_t *json = parse (metadata);
  json_decref (json);
  return json != NULL;
}

gboolean
chroma_key_ok (const char *key)
{
  return *key != '\0' && *key != '$' && *key != '#' && !g_str_has_prefix (key, CHROMA_OWN) &&
         !g_str_has_prefix (key, "chroma:");
}

void
chroma_add_plain (json_t *metadata, RagifyStr text)
{
  json_t *given = parse (text);
  const char *key;
  json_t *value;
  json_object_foreach (given, key, value)
  {
    if (chroma_key_ok (key) && (json_is_string (value) || json_is_number (value) || json_is_boolean (value)))
      json_object_set (metadata, key, value);
  }
  json_decref (given);
}

json_t *
chroma_chunk_metadata (const RagifyChunk *chunk, gint64 created, gint64 updated)
{
  json_t *metadata = json_object ();
  chroma_add_plain (metadata, chunk->metadata);
  created = chunk->created_at != 0 ? chunk->created_at : created;
  updated = chunk->updated_at != 0 ? chunk->updated_at : updated;
  json_object_set_new (metadata, CHROMA_OWN "document", string_of (chunk->document_id));
  json_object_set_new (metadata, CHROMA_OWN "title", string_of (chunk->title));
  json_object_set_new (metadata, CHROMA_OWN "uri", string_of (chunk->uri));
  json_object_set_new (metadata, CHROMA_OWN "metadata", string_of (chunk->metadata));
  json_object_set_new (metadata, CHROMA_OWN "ordinal", json_integer ((json_int_t)chunk->ordinal));
  json_object_set_new (metadata, CHROMA_OWN "begin", json_integer ((json_int_t)chunk->begin));
  json_object_set_new (metadata, CHROMA_OWN "end", json_integer ((json_int_t)chunk->end));
  json_object_set_new (metadata, CHROMA_OWN "created", json_integer (created));
  json_object_set_new (metadata, CHROMA_OWN "updated", json_integer (updated));
  return metadata;
}

const char *
chroma_text (const json_t *metadata, const char *name)
{
  const char *text = json_string_value (json_object_get (metadata, name));
  return text != NULL ? text : "";
}

gint64
chroma_number (const json_t *metadata, const char *name)
{
  return (gint64)json_number_value (json_object_get (metadata, name));
}

RagifyStr
chroma_metadata_text (const json_t *metadata)
{
  const json_t *text = json_object_get (metadata, CHROMA_OWN "metadata");
  return ragify_str (json_string_value (text), json_string_length (text));
}

static gboolean
copy_member (ChromaJob *job, const json_t *text, RagifyStr *copy)
{
  return chroma_job_copy (job, json_string_value (text), json_string_length (text), copy);
}

gboolean
chroma_take_chunk (ChromaJob *job, const char *id, const json_t *content, const json_t *metadata, guint32 what,
                   RagifyChunk *chunk)
{
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk };
  if (!chroma_read_uuid (id, &chunk->id))
    return chroma_job_unexpected (job, "a record has an id that is no UUID");
  if ((what & RAGIFY_FETCH_METADATA) != 0 &&
      !copy_member (job, json_object_get (metadata, CHROMA_OWN "metadata"), &chunk->metadata))
    return FALSE;
  if ((what & RAGIFY_FETCH_CONTENT) == 0)
    return TRUE;
  chunk->ordinal = (guint64)chroma_number (metadata, CHROMA_OWN "ordinal");
  chunk->begin = (guint64)chroma_number (metadata, CHROMA_OWN "begin");
  chunk->end = (guint64)chroma_number (metadata, CHROMA_OWN "end");
  chunk->created_at = chroma_number (metadata, CHROMA_OWN "created");
  chunk->updated_at = chroma_number (metadata, CHROMA_OWN "updated");
  return copy_member (job, content, &chunk->content) &&
         copy_member (job, json_object_get (metadata, CHROMA_OWN "document"), &chunk->document_id) &&
         copy_member (job, json_object_get (metadata, CHROMA_OWN "title"), &chunk->title) &&
         copy_member (job, json_object_get (metadata, CHROMA_OWN "uri"), &chunk->uri);
}
