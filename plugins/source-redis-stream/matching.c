/* SPDX-License-Identifier: MIT */
#include "matching.h"

#include "tokenizer.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define QUERY_WORDS 64u
#define K1 1.2
#define B 0.75

typedef struct Entry {
  const redisReply *id, *values;
  RagifyStr content;
  guint32 times[QUERY_WORDS];
  guint32 length; /* in words */
  guint place;    /* 0: the latest */
  double score;
} Entry;

typedef struct Matching {
  const StreamFields *fields;
  const RagifyHost *host;
  RagifyCall *call;
  GHashTable *words; /* of the query → 1 + number */
  guint n_words;
  guint32 found_in[QUERY_WORDS]; /* entries */
  guint64 length;                /* of all entries */
  GArray *entries;
  guint unusable;
  Entry *current;
} Matching;

/* ---- fields ---- */

static gboolean
is_text (const redisReply *value)
{
  return value->type == REDIS_REPLY_STRING && g_utf8_validate_len (value->str, value->len, NULL) &&
         memchr (value->str, '\0', value->len) == NULL;
}

static gboolean
is_called (const redisReply *name, const char *wanted)
{
  return name->type == REDIS_REPLY_STRING && name->len == strlen (wanted) && memcmp (name->str, wanted, name->len) == 0;
}

static const redisReply *
find_field (const redisReply *values, char *const *names)
{
  for (; *names != NULL; names++)
    for (gsize i = 0; i + 1 < values->elements; i += 2)
      if (is_called (values->element[i], *names) && is_text (values->element[i + 1]))
        return values->element[i + 1];
  return NULL;
}

static gboolean
is_mapped (const StreamFields *fields, const redisReply *name)
{
  char *const *const lists[] = { fields->content, fields->title, fields->uri, fields->id };
  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (char *const *wanted = lists[i]; *wanted != NULL; wanted++)
      if (is_called (name, *wanted))
        return TRUE;
  return FALSE;
}

/* ---- words ---- */

static bool
take_query_word (void *user, const RagifyToken *token)
{
  Matching *matching = user;
  char *word = g_strndup (token->text, token->size);
  if (g_hash_table_contains (matching->words, word))
    g_free (word);
  else
    g_hash_table_insert (matching->words, word, GUINT_TO_POINTER (++matching->n_words));
  return matching->n_words < QUERY_WORDS;
}

static gboolean
is_stop_word (gpointer word, gpointer number, gpointer user)
{
  return ragify_is_stop_word (word, strlen (word));
}

/* A query of stop words alone keeps them. */
static void
take_query (Matching *matching, RagifyStr query)
{
  ragify_tokenize (query, RAGIFY_TOKENIZE_QUERY, take_query_word, matching);
  GHashTableIter iter;
  gpointer word;
  guint kept = 0;
  g_hash_table_iter_init (&iter, matching->words);
  while (g_hash_table_iter_next (&iter, &word, NULL))
    kept += !is_stop_word (word, NULL, NULL);
  if (kept > 0)
    g_hash_table_foreach_remove (matching->words, is_stop_word, NULL);
}

static bool
take_entry_word (void *user, const RagifyToken *token)
{
  Matching *matching = user;
  char word[RAGIFY_TOKEN_BYTES + 1];
  memcpy (word, token->text, token->size);
  word[token->size] = '\0';
  const guint number = GPOINTER_TO_UINT (g_hash_table_lookup (matching->words, word));
  matching->current->length++;
  if (number > 0)
    matching->current->times[number - 1]++;
  return true;
}

static void
take_entry (Matching *matching, const redisReply *item, guint place)
{
  Entry entry = { .id = item->element[0], .values = item->element[1], .place = place };
  const redisReply *content = find_field (entry.values, matching->fields->content);
  if (content == NULL || content->len == 0) {
    matching->unusable++;
    return;
  }
  entry.content = ragify_str (content->str, content->len);
  if (matching->fields->by_words) {
    matching->current = &entry;
    ragify_tokenize (entry.content, RAGIFY_TOKENIZE_DOCUMENT, take_entry_word, matching);
    matching->length += entry.length;
    for (guint i = 0; i < matching->n_words; i++)
      matching->found_in[i] += entry.times[i] > 0;
  }
  g_array_append_val (matching->entries, entry);
}

static gboolean
is_entry (const redisReply *item)
{
  return item->type == REDIS_REPLY_ARRAY && item->elements == 2 && item->element[0]->type == REDIS_REPLY_STRING &&
         item->element[1]->type == REDIS_REPLY_ARRAY;
}

static void
score_entries (Matching *matching)
{
  const double total = matching->entries->len;
  const double mean = total > 0 ? MAX ((double)matching->length / total, 1) : 1;
  for (guint i = 0; i < matching->entries->len; i++) {
    Entry *entry = &g_array_index (matching->entries, Entry, i);
    for (guint word = 0; word < matching->n_words; word++) {
      if (entry->times[word] == 0)
        continue;
      const double found_in = matching->found_in[word];
      const double weight = log (1 + (total - found_in + 0.5) / (found_in + 0.5));
      const double times = entry->times[word];
      entry->score += weight * times * (K1 + 1) / (times + K1 * (1 - B + B * entry->length / mean));
    }
  }
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *x = a;
  const Entry *y = b;
  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  return x->place < y->place ? -1 : 1;
}

/* ---- passages ---- */

static RagifyStr
copy (const Matching *matching, const char *text, gsize size)
{
  char *memory = size > 0 ? matching->host->call_alloc (matching->call, size) : NULL;
  if (memory == NULL)
    return ragify_str (NULL, 0);
  memcpy (memory, text, size);
  return ragify_str (memory, size);
}

static RagifyStr
copy_field (const Matching *matching, const Entry *entry, char *const *names)
{
  const redisReply *value = find_field (entry->values, names);
  return value != NULL ? copy (matching, value->str, value->len) : ragify_str (NULL, 0);
}

/* What stands for nothing else, as texts. */
static RagifyStr
make_metadata (const Matching *matching, const Entry *entry)
{
  json_t *object = json_object ();
  const redisReply *values = entry->values;
  for (gsize i = 0; i + 1 < values->elements; i += 2) {
    const redisReply *name = values->element[i];
    const redisReply *value = values->element[i + 1];
    if (!is_text (name) || !is_text (value) || is_mapped (matching->fields, name))
      continue;
    g_autofree char *key = g_strndup (name->str, name->len);
    json_object_set_new (object, key, json_stringn (value->str, value->len));
  }
  char *text = json_object_size (object) > 0 ? json_dumps (object, JSON_COMPACT) : NULL;
  const RagifyStr copied = text != NULL ? copy (matching, text, strlen (text)) : ragify_str (NULL, 0);
  free (text);
  json_decref (object);
  return copied;
}

/* An entry's id is "milliseconds-number". */
static void
fill_chunk (const Matching *matching, const Entry *entry, RagifyChunk *chunk)
{
  const guint64 ms = g_ascii_strtoull (entry->id->str, NULL, 10);
  const gint64 time = ms < G_MAXINT64 / 1000 ? (gint64)ms * 1000 : 0;
  g_autofree char *id = g_strdup_printf ("%s/%.*s", matching->fields->stream, (int)entry->id->len, entry->id->str);
  *chunk = (RagifyChunk){
    .struct_size = sizeof *chunk,
    .document_id = copy_field (matching, entry, matching->fields->id),
    .content = copy (matching, entry->content.data, entry->content.size),
    .title = copy_field (matching, entry, matching->fields->title),
    .uri = copy_field (matching, entry, matching->fields->uri),
    .metadata = make_metadata (matching, entry),
    .created_at = time,
    .updated_at = time,
    .score = entry->score,
  };
  if (chunk->document_id.size == 0)
    chunk->document_id = copy (matching, id, strlen (id));
}

static gboolean
make_chunks (const Matching *matching, guint limit, RagifyChunkList *chunks)
{
  const guint room = MIN (limit, MAX (matching->entries->len, 1));
  RagifyChunk *items = matching->host->call_alloc (matching->call, room * sizeof *items);
  if (items == NULL)
    return FALSE;
  guint count = 0;
  for (guint i = 0; i < matching->entries->len && count < room; i++) {
    const Entry *entry = &g_array_index (matching->entries, Entry, i);
    if (matching->fields->by_words && entry->score <= 0)
      break;
    fill_chunk (matching, entry, &items[count]);
    if (items[count++].content.size == 0)
      return FALSE;
  }
  *chunks = (RagifyChunkList){ .items = items, .count = count, .stride = sizeof *items };
  return TRUE;
}

gboolean
stream_match (const StreamFields *fields, const redisReply *reply, const RagifyHost *host, RagifyCall *call,
              RagifyStr query, guint limit, RagifyChunkList *chunks, guint *unusable, RagifyFault *fault)
{
  if (reply->type != REDIS_REPLY_ARRAY)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "%s: XREVRANGE answered with no list", fields->stream);
  Matching matching = { .fields = fields, .host = host, .call = call };
  matching.words = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  matching.entries = g_array_sized_new (FALSE, FALSE, sizeof (Entry), (guint)reply->elements);
  take_query (&matching, query);
  for (gsize i = 0; i < reply->elements; i++) {
    if (is_entry (reply->element[i]))
      take_entry (&matching, reply->element[i], (guint)i);
    else
      matching.unusable++; /* deleted while it was read */
  }
  score_entries (&matching);
  g_array_sort (matching.entries, compare_entries);
  const gboolean well = make_chunks (&matching, limit, chunks);
  *unusable = matching.unusable;
  g_hash_table_unref (matching.words);
  g_array_unref (matching.entries);
  return well || ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
}
