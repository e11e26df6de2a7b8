/* SPDX-License-Identifier: MIT */
#include "core/server/api-key.h"

#include <math.h>
#include <string.h>

#include "core/server/gcra.h"

#define KEY_TEXT_MAX 512
#define RATE_MAX 1e6
#define COUNT_MAX 1000000

struct RagifyKeySet {
  gint references;     /* atomic */
  GPtrArray *keys;     /* RagifyApiKey, owned */
  GHashTable *by_hash; /* first 8 bytes of the hash → RagifyApiKey */
};

typedef struct Reading {
  const char *path;
  GKeyFile *file;
  const char *group;
  GString *mistakes;
} Reading;

static gboolean complain (Reading *reading, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
complain (Reading *reading, const char *format, ...)
{
  va_list arguments;
  if (reading->mistakes->len > 0)
    g_string_append_c (reading->mistakes, '\n');
  g_string_append_printf (reading->mistakes, "%s: [%s]: ", reading->path, reading->group);
  va_start (arguments, format);
  g_string_append_vprintf (reading->mistakes, format, arguments);
  va_end (arguments);
  return FALSE;
}

/* ---- keys ---- */

static void
use_unref (RagifyKeyUse *use)
{
  if (g_atomic_int_dec_and_test (&use->references))
    g_free (use);
}

static void
key_free (RagifyApiKey *key)
{
  g_free (key->name);
  g_strfreev (key->pipelines);
  g_clear_pointer (&key->hold, ragify_hold_unref);
  if (key->use != NULL)
    use_unref (key->use);
  g_free (key);
}

static gboolean
read_hash (Reading *reading, RagifyApiKey *key)
{
  g_autofree char *text = g_key_file_get_string (reading->file, reading->group, "sha256", NULL);
  if (text == NULL)
    return complain (reading, "'sha256' is missing");
  if (strlen (text) != 2 * sizeof key->hash)
    return complain (reading, "'sha256' must be 64 hexadecimal digits");
  for (gsize i = 0; i < sizeof key->hash; i++) {
    const int high = g_ascii_xdigit_value (text[2 * i]), low = g_ascii_xdigit_value (text[2 * i + 1]);
    if (high < 0 || low < 0)
      return complain (reading, "'sha256' must be 64 hexadecimal digits");
    key->hash[i] = (guint8)(high << 4 | low);
  }
  return TRUE;
}

static gboolean
read_scopes (Reading *reading, RagifyApiKey *key)
{
  static const struct {
    const char *name;
    guint scopes; /* who may write reads, who may administer does all */
  } known[] = { { "read", RAGIFY_SCOPE_READ },
                { "write", RAGIFY_SCOPE_READ | RAGIFY_SCOPE_WRITE },
                { "admin", RAGIFY_SCOPE_READ | RAGIFY_SCOPE_WRITE | RAGIFY_SCOPE_ADMIN } };
  g_auto (GStrv) names = g_key_file_get_string_list (reading->file, reading->group, "scopes", NULL, NULL);
  if (names == NULL)
    key->scopes = RAGIFY_SCOPE_READ;
  for (char **name = names; name != NULL && *name != NULL; name++) {
    guint scopes = 0;
    g_strstrip (*name);
    for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
      if (g_str_equal (*name, known[i].name))
        scopes = known[i].scopes;
    if (scopes == 0 && **name != '\0')
      return complain (reading, "unknown scope '%.40s'; there are read, write and admin", *name);
    key->scopes |= scopes;
  }
  return key->scopes != 0 || complain (reading, "'scopes' names none");
}

static void
read_filter (Reading *reading, RagifyApiKey *key)
{
  g_autofree char *text = g_key_file_get_value (reading->file, reading->group, "filter", NULL);
  json_error_t at;
  RagifyProblem problem = { 0 };
  if (text == NULL)
    return;
  json_t *json = json_loads (text, JSON_REJECT_DUPLICATES, &at);
  if (json == NULL) {
    complain (reading, "'filter' is not JSON: column %d: %s", at.column, at.text);
    return;
  }
  key->hold = ragify_hold_new (json, &problem);
  json_decref (json);
  if (key->hold == NULL)
    complain (reading, "'filter': %s", problem.detail);
  else if ((key->scopes & RAGIFY_SCOPE_ADMIN) != 0)
    complain (reading, "a key with the scope 'admin' sees everything: it cannot have a 'filter'");
  else if ((key->scopes & RAGIFY_SCOPE_WRITE) != 0 && !ragify_hold_marks (key->hold))
    complain (reading, "a key with the scope 'write' needs a 'filter' of plain values such as {\"tenant\": \"acme\"}, "
                       "which its documents are marked with");
  ragify_problem_clear (&problem);
}

static double
read_number (Reading *reading, const char *name, double most, gboolean whole)
{
  g_autofree char *text = g_key_file_get_string (reading->file, reading->group, name, NULL);
  char *end = NULL;
  if (text == NULL)
    return 0;
  const double value = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0' || !(value > 0) || value > most || (whole && value != floor (value)))
    complain (reading, "'%s' must be a %snumber above 0 and up to %g, found '%.40s'", name, whole ? "whole " : "", most,
              text);
  return value;
}

static void
read_limits (Reading *reading, RagifyApiKey *key)
{
  key->rate = read_number (reading, "rate", RATE_MAX, FALSE);
  key->burst = (guint)read_number (reading, "burst", COUNT_MAX, TRUE);
  key->max_active = (guint)read_number (reading, "max-concurrent", COUNT_MAX, TRUE);
  if (key->burst > 0 && key->rate == 0)
    complain (reading, "'burst' needs a 'rate'");
  if (key->burst == 0)
    key->burst = MAX (1, (guint)(2 * key->rate));
  g_autofree char *expires = g_key_file_get_string (reading->file, reading->group, "expires", NULL);
  if (expires == NULL)
    return;
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (expires, utc);
  if (time == NULL)
    complain (reading, "'expires' must be a time such as 2027-01-31T00:00:00Z, found '%.40s'", expires);
  else
    key->expires = g_date_time_to_unix (time);
}

static void
check_names (Reading *reading)
{
  static const char *const known[] = { "sha256", "scopes",         "filter",  "pipelines", "rate",
                                       "burst",  "max-concurrent", "expires", NULL };
  g_auto (GStrv) names = g_key_file_get_keys (reading->file, reading->group, NULL, NULL);
  for (char **name = names; name != NULL && *name != NULL; name++)
    if (!g_strv_contains (known, *name))
      complain (reading, "unknown key '%.40s'", *name);
}

static void
read_pipelines (Reading *reading, RagifyApiKey *key)
{
  key->pipelines = g_key_file_get_string_list (reading->file, reading->group, "pipelines", NULL, NULL);
  for (char **name = key->pipelines; name != NULL && *name != NULL; name++)
    g_strstrip (*name);
}

/* ---- sets ---- */

static gint64
hash_front (const guint8 *hash)
{
  gint64 front = 0;
  memcpy (&front, hash, sizeof front);
  return front;
}

static const RagifyApiKey *
find_by_hash (const RagifyKeySet *set, const guint8 *hash)
{
  const gint64 front = hash_front (hash);
  const RagifyApiKey *key = g_hash_table_lookup (set->by_hash, &front);
  guint8 difference = 0;
  if (key == NULL)
    return NULL;
  for (gsize i = 0; i < sizeof key->hash; i++)
    difference |= key->hash[i] ^ hash[i];
  return difference == 0 ? key : NULL;
}

static void
take_use (RagifyApiKey *key, const RagifyKeySet *before)
{
  const RagifyApiKey *same = before != NULL ? find_by_hash (before, key->hash) : NULL;
  if (same != NULL) {
    key->use = same->use;
    g_atomic_int_inc (&key->use->references);
    return;
  }
  key->use = g_new0 (RagifyKeyUse, 1);
  key->use->references = 1;
}

static void
read_key (Reading *reading, RagifyKeySet *set, const RagifyKeySet *before)
{
  RagifyApiKey *key = g_new0 (RagifyApiKey, 1);
  g_ptr_array_add (set->keys, key);
  key->name = g_strdup (reading->group);
  check_names (reading);
  const gboolean hashed = read_hash (reading, key);
  if (read_scopes (reading, key))
    read_filter (reading, key);
  read_pipelines (reading, key);
  read_limits (reading, key);
  if (!hashed)
    return;
  const gint64 front = hash_front (key->hash);
  const RagifyApiKey *other = g_hash_table_lookup (set->by_hash, &front);
  if (other != NULL) {
    complain (reading, "has the same 'sha256' as [%s]", other->name);
    return;
  }
  take_use (key, before);
  g_hash_table_insert (set->by_hash, g_memdup2 (&front, sizeof front), key);
}

RagifyKeySet *
ragify_key_set_load (const char *path, const RagifyKeySet *before, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, error)) {
    g_prefix_error (error, "%s: ", path);
    return NULL;
  }
  g_autoptr (RagifyKeySet) set = g_new0 (RagifyKeySet, 1);
  set->references = 1;
  set->keys = g_ptr_array_new_with_free_func ((GDestroyNotify)key_free);
  set->by_hash = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr (GString) mistakes = g_string_new (NULL);
  Reading reading = { .path = path, .file = file, .mistakes = mistakes };
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++) {
    reading.group = *group;
    read_key (&reading, set, before);
  }
  if (mistakes->len == 0)
    return g_steal_pointer (&set);
  g_set_error_literal (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE, mistakes->str);
  return NULL;
}

RagifyKeySet *
ragify_key_set_ref (RagifyKeySet *set)
{
  g_atomic_int_inc (&set->references);
  return set;
}

void
ragify_key_set_unref (RagifyKeySet *set)
{
  if (!g_atomic_int_dec_and_test (&set->references))
    return;
  g_hash_table_unref (set->by_hash);
  g_ptr_array_unref (set->keys);
  g_free (set);
}

guint
ragify_key_set_count (const RagifyKeySet *set)
{
  return set->keys->len;
}

const RagifyApiKey *
ragify_key_set_find (const RagifyKeySet *set, RagifyStr text)
{
  guint8 hash[32];
  gsize size = sizeof hash;
  if (text.size == 0 || text.size > KEY_TEXT_MAX)
    return NULL;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_checksum_update (checksum, (const guchar *)text.data, (gssize)text.size);
  g_checksum_get_digest (checksum, hash, &size);
  return find_by_hash (set, hash);
}

/* ---- limits ---- */

gboolean
ragify_api_key_take_turn (const RagifyApiKey *key, guint64 now, guint *retry_after)
{
  return key->rate == 0 || ragify_gcra_take (&key->use->next_at, key->rate, key->burst, now, retry_after);
}

gboolean
ragify_api_key_enter (const RagifyApiKey *key)
{
  if (__atomic_add_fetch (&key->use->active, 1, __ATOMIC_RELAXED) <= key->max_active || key->max_active == 0)
    return TRUE;
  ragify_api_key_leave (key);
  return FALSE;
}

void
ragify_api_key_leave (const RagifyApiKey *key)
{
  __atomic_fetch_sub (&key->use->active, 1, __ATOMIC_RELAXED);
}
