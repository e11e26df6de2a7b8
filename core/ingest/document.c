/* SPDX-License-Identifier: MIT */
#include "core/ingest/document.h"

#include <string.h>
#include <xxhash.h>

#define LONGEST_ID 1024u

void
ragify_incoming_free (RagifyIncoming *incoming)
{
  g_free (incoming->id);
  g_free (incoming->content);
  g_free (incoming->title);
  g_free (incoming->uri);
  g_free (incoming->metadata);
  g_clear_pointer (&incoming->sections, g_array_unref);
  g_free (incoming);
}

static void
clear_section (gpointer section)
{
  g_free (((RagifySection *)section)->metadata);
}

GArray *
ragify_sections_new (void)
{
  GArray *sections = g_array_new (FALSE, FALSE, sizeof (RagifySection));
  g_array_set_clear_func (sections, clear_section);
  return sections;
}

/* ---- members ---- */

static gboolean
take_string (const json_t *value, char **target, char **reason)
{
  if (!json_is_string (value)) {
    *reason = g_strdup ("must be a string");
    return FALSE;
  }
  if (strlen (json_string_value (value)) != json_string_length (value)) {
    *reason = g_strdup ("must not contain U+0000");
    return FALSE;
  }
  g_free (*target);
  *target = g_strndup (json_string_value (value), json_string_length (value));
  return TRUE;
}

static gboolean
take_metadata (const json_t *value, char **target, char **reason)
{
  if (!json_is_object (value)) {
    *reason = g_strdup ("must be an object");
    return FALSE;
  }
  if (json_object_size (value) == 0)
    return TRUE;
  char *text = json_dumps (value, JSON_COMPACT | JSON_SORT_KEYS);
  if (text == NULL || strlen (text) > 65536) {
    *reason = g_strdup ("must be an object of at most 64 KiB");
    free (text);
    return FALSE;
  }
  g_free (*target);
  *target = g_strdup (text);
  free (text);
  return TRUE;
}

static gboolean
take_time (const json_t *value, gint64 *target, char **reason)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time =
      json_is_string (value) ? g_date_time_new_from_iso8601 (json_string_value (value), utc) : NULL;
  if (time == NULL) {
    *reason = g_strdup ("must be a time as RFC 3339 has it, such as \"2026-01-31T12:00:00Z\"");
    return FALSE;
  }
  *target = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
  return TRUE;
}

static gboolean
take_member (RagifyIncoming *incoming, const char *name, const json_t *value, char **reason)
{
  if (g_str_equal (name, "content") || g_str_equal (name, "text"))
    return take_string (value, &incoming->content, reason);
  if (g_str_equal (name, "id") || g_str_equal (name, "_id"))
    return take_string (value, &incoming->id, reason);
  if (g_str_equal (name, "title"))
    return take_string (value, &incoming->title, reason);
  if (g_str_equal (name, "uri"))
    return take_string (value, &incoming->uri, reason);
  if (g_str_equal (name, "metadata"))
    return take_metadata (value, &incoming->metadata, reason);
  if (g_str_equal (name, "created_at"))
    return take_time (value, &incoming->created_at, reason);
  if (g_str_equal (name, "updated_at"))
    return take_time (value, &incoming->updated_at, reason);
  *reason =
      g_strdup ("is not a member of a document. Those are id, content, title, uri, metadata, created_at, updated_at");
  return FALSE;
}

/* ---- ids ---- */

static RagifyUuid
uuid_of (XXH128_hash_t hash)
{
  RagifyUuid uuid;
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, hash);
  memcpy (uuid.bytes, canonical.digest, sizeof uuid.bytes);
  uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x80); /* version 8 */
  uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
  return uuid;
}

RagifyUuid
ragify_chunk_uuid (const char *document, guint64 ordinal)
{
  return uuid_of (XXH3_128bits_withSeed (document, strlen (document), ordinal));
}

void
ragify_uuid_write (const RagifyUuid *uuid, char text[37])
{
  static const char digits[] = "0123456789abcdef";
  gsize out = 0;
  for (gsize i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text[out++] = '-';
    text[out++] = digits[uuid->bytes[i] >> 4];
    text[out++] = digits[uuid->bytes[i] & 15];
  }
  text[out] = '\0';
}

static void
complete_id (RagifyIncoming *incoming)
{
  incoming->given_id = incoming->id != NULL && *incoming->id != '\0';
  if (incoming->given_id)
    return;
  g_free (incoming->id);
  if (*incoming->uri != '\0') {
    incoming->id = g_strdup (incoming->uri);
    return;
  }
  const RagifyUuid uuid = uuid_of (XXH3_128bits (incoming->content, incoming->content_size));
  incoming->id = g_malloc (37);
  ragify_uuid_write (&uuid, incoming->id);
}

void
ragify_incoming_disown_id (RagifyIncoming *incoming, guint64 seed)
{
  if (incoming->given_id)
    return;
  const RagifyUuid uuid = uuid_of (XXH3_128bits_withSeed (incoming->id, strlen (incoming->id), seed));
  g_free (incoming->id);
  incoming->id = g_malloc (37);
  ragify_uuid_write (&uuid, incoming->id);
}

gboolean
ragify_incoming_is_of_a_job (const RagifyIncoming *incoming)
{
  const char *slash = strchr (incoming->id, '/');
  if (slash == NULL || strstr (incoming->metadata, "\"ingest\"") == NULL)
    return FALSE;
  json_t *metadata = json_loads (incoming->metadata, JSON_ALLOW_NUL, NULL);
  const char *job = json_string_value (json_object_get (metadata, "ingest"));
  const gsize size = (gsize)(slash - incoming->id);
  const gboolean is = job != NULL && strlen (job) == size && memcmp (job, incoming->id, size) == 0;
  json_decref (metadata);
  return is;
}

/* ---- the document ---- */

RagifyIncoming *
ragify_incoming_parse (const json_t *object, char **field, char **reason)
{
  *field = NULL;
  if (!json_is_object (object)) {
    *reason = g_strdup ("a document must be an object");
    return NULL;
  }
  g_autoptr (RagifyIncoming) incoming = g_new0 (RagifyIncoming, 1);
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)object, name, value)
  {
    if (!json_is_null (value) && !take_member (incoming, name, value, reason)) {
      *field = g_strdup (strlen (name) <= 64 ? name : "?");
      return NULL;
    }
  }
  if (incoming->content == NULL) {
    *field = g_strdup ("content");
    *reason = g_strdup ("is required");
    return NULL;
  }
  incoming->content_size = strlen (incoming->content);
  incoming->title = incoming->title != NULL ? incoming->title : g_strdup ("");
  incoming->uri = incoming->uri != NULL ? incoming->uri : g_strdup ("");
  incoming->metadata = incoming->metadata != NULL ? incoming->metadata : g_strdup ("");
  if (strlen (incoming->uri) > 8192 || strlen (incoming->title) > 8192) {
    *field = g_strdup (strlen (incoming->uri) > 8192 ? "uri" : "title");
    *reason = g_strdup ("must be at most 8192 bytes");
    return NULL;
  }
  if (incoming->id != NULL && strlen (incoming->id) > LONGEST_ID) {
    *field = g_strdup ("id");
    *reason = g_strdup_printf ("must be at most %u bytes, not %zu", LONGEST_ID, strlen (incoming->id));
    return NULL;
  }
  if (*incoming->content == '\0') {
    *field = g_strdup ("content");
    *reason = g_strdup ("must not be empty");
    return NULL;
  }
  complete_id (incoming);
  if (strlen (incoming->id) > LONGEST_ID) { /* of a long URI */
    const RagifyUuid uuid = uuid_of (XXH3_128bits (incoming->uri, strlen (incoming->uri)));
    g_free (incoming->id);
    incoming->id = g_malloc (37);
    ragify_uuid_write (&uuid, incoming->id);
  }
  return g_steal_pointer (&incoming);
}

RagifyIncoming *
ragify_incoming_new (const char *id, char *content, gsize size, const char *title, const char *uri)
{
  RagifyIncoming *incoming = g_new0 (RagifyIncoming, 1);
  *incoming = (RagifyIncoming){ .id = g_strdup (id),
                                .given_id = TRUE,
                                .content = content,
                                .content_size = size,
                                .title = g_strdup (title),
                                .uri = g_strdup (uri),
                                .metadata = g_strdup ("") };
  const char *slash = strchr (id, '/');
  if (strlen (id) <= LONGEST_ID)
    return incoming;
  char text[37];
  const RagifyUuid uuid = uuid_of (XXH3_128bits (id, strlen (id)));
  ragify_uuid_write (&uuid, text);
  g_free (incoming->id);
  incoming->id =
      slash != NULL && slash - id < 500 ? g_strdup_printf ("%.*s/%s", (int)(slash - id), id, text) : g_strdup (text);
  return incoming;
}

/* How it is cut, where it says so itself. */
static void
hash_cutting (const RagifyIncoming *incoming, XXH3_state_t *state)
{
  if (incoming->chunk_size > 0) {
    XXH3_128bits_update (state, &incoming->chunk_size, sizeof incoming->chunk_size);
    XXH3_128bits_update (state, &incoming->chunk_overlap, sizeof incoming->chunk_overlap);
    if (incoming->chunk_tokens)
      XXH3_128bits_update (state, "tokens", 6);
  }
  for (guint i = 0; incoming->sections != NULL && i < incoming->sections->len; i++) {
    const RagifySection *section = &g_array_index (incoming->sections, RagifySection, i);
    const char *metadata = section->metadata != NULL ? section->metadata : "";
    XXH3_128bits_update (state, &section->begin, sizeof section->begin);
    XXH3_128bits_update (state, &section->end, sizeof section->end);
    XXH3_128bits_update (state, metadata, strlen (metadata) + 1);
  }
}

RagifyUuid
ragify_incoming_hash (const RagifyIncoming *incoming, const char *salt)
{
  XXH3_state_t *state = XXH3_createState ();
  XXH3_128bits_reset (state);
  const char *const texts[] = { salt, incoming->title, incoming->uri, incoming->metadata, incoming->content };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    XXH3_128bits_update (state, texts[i], strlen (texts[i]) + 1); /* with the NUL: no two lists of texts look alike */
  XXH3_128bits_update (state, &incoming->created_at, sizeof incoming->created_at);
  hash_cutting (incoming, state);
  const XXH128_hash_t hash = XXH3_128bits_digest (state);
  XXH3_freeState (state);
  return uuid_of (hash);
}

char *
ragify_embedded_text (const char *title, const char *content, gsize size)
{
  const gsize length = strlen (title);
  const gboolean begins = length <= size && memcmp (content, title, length) == 0;
  if (length == 0 || begins)
    return g_strndup (content, size);
  char *text = g_malloc (length + 1 + size + 1);
  memcpy (text, title, length);
  text[length] = '\n';
  memcpy (text + length + 1, content, size);
  text[length + 1 + size] = '\0';
  return text;
}
