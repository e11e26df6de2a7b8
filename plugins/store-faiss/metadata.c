#include "metadata.h"

#include "json-condition.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define REMEMBERED_FILTERS 32

struct RagifyMatches {
  atomic_uint references;
  bool none;      /* whether no metadata match */
  uint64_t known; /* the largest number that was looked at */
  uint8_t bits[]; /* a bit for each number up to it */
};

typedef struct {
  uint8_t *key;
  size_t key_size;
  RagifyMatches *matches;
  uint64_t used; /* when, on the matcher's clock */
} Remembered;

struct RagifyMatcher {
  pthread_mutex_t mutex;
  uint64_t clock;
  Remembered entries[REMEMBERED_FILTERS];
};

/* 1 found, 0 not there, -1 failed. */
static int
find_number (RagifyConnection *connection, int64_t hash, RagifyStr json, int64_t *number, RagifyFault *fault)
{
  static const char sql[] = "SELECT number FROM metadata WHERE hash = ?1 AND json = ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return -1;
  (void)sqlite3_bind_int64 (statement, 1, hash);
  ragify_bind_str (statement, 2, json);
  int answer = ragify_connection_step (connection, statement, fault);
  if (answer > 0) {
    *number = sqlite3_column_int64 (statement, 0);
    (void)sqlite3_reset (statement);
  }
  return answer;
}

bool
ragify_metadata_number (RagifyConnection *connection, RagifyStr json, int64_t *number, RagifyFault *fault)
{
  if (json.size == 0) {
    *number = RAGIFY_METADATA_NONE;
    return true;
  }
  int64_t hash = (int64_t)XXH3_64bits (json.data, json.size);
  int answer = find_number (connection, hash, json, number, fault);
  if (answer != 0)
    return answer > 0;
  if (!ragify_condition_is_object (json))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "metadata: expected a JSON object, found: %.*s",
                             json.size < 80 ? (int)json.size : 80, json.data);
  static const char sql[] = "INSERT INTO metadata (hash, json) VALUES (?1, ?2)";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, hash);
  ragify_bind_str (statement, 2, json);
  if (!ragify_connection_run (connection, statement, fault))
    return false;
  *number = ragify_connection_last_row (connection);
  return true;
}

bool
ragify_matches_has (const RagifyMatches *matches, uint64_t number)
{
  if (number == RAGIFY_METADATA_NONE)
    return matches->none;
  return number <= matches->known && (matches->bits[number >> 3] >> (number & 7) & 1) != 0;
}

void
ragify_matches_unref (RagifyMatches *matches)
{
  if (matches != NULL && atomic_fetch_sub (&matches->references, 1) == 1)
    free (matches);
}

RagifyMatcher *
ragify_matcher_new (void)
{
  RagifyMatcher *matcher = calloc (1, sizeof *matcher);
  if (matcher != NULL)
    (void)pthread_mutex_init (&matcher->mutex, NULL);
  return matcher;
}

static void
forget (Remembered *entry)
{
  free (entry->key);
  ragify_matches_unref (entry->matches);
  *entry = (Remembered){ 0 };
}

void
ragify_matcher_free (RagifyMatcher *matcher)
{
  if (matcher == NULL)
    return;
  for (int i = 0; i < REMEMBERED_FILTERS; i++)
    forget (&matcher->entries[i]);
  (void)pthread_mutex_destroy (&matcher->mutex);
  free (matcher);
}

/* The entry of the filter, or the one to use for it: an empty one or the one used longest ago. */
static Remembered *
find_entry (RagifyMatcher *matcher, const uint8_t *key, size_t size)
{
  Remembered *oldest = &matcher->entries[0];
  for (int i = 0; i < REMEMBERED_FILTERS; i++) {
    Remembered *entry = &matcher->entries[i];
    if (entry->matches != NULL && entry->key_size == size && memcmp (entry->key, key, size) == 0)
      return entry;
    if (entry->used < oldest->used)
      oldest = entry;
  }
  forget (oldest);
  return oldest;
}

static bool
newest_number (RagifyConnection *connection, uint64_t *newest, RagifyFault *fault)
{
  static const char sql[] = "SELECT max(number) FROM metadata";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *newest = (uint64_t)sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

/* A longer copy, in which nothing new matches yet. */
static RagifyMatches *
extend (const RagifyMatches *before, uint64_t newest)
{
  RagifyMatches *matches = calloc (1, sizeof *matches + newest / 8 + 1);
  if (matches == NULL)
    return NULL;
  atomic_init (&matches->references, 1);
  matches->known = newest;
  if (before != NULL) {
    matches->none = before->none;
    memcpy (matches->bits, before->bits, before->known / 8 + 1);
  }
  return matches;
}

static RagifyMatches *
evaluate (RagifyConnection *connection, const RagifyFilter *filter, const RagifyMatches *before, uint64_t newest,
          RagifyFault *fault)
{
  static const char sql[] = "SELECT number, json FROM metadata WHERE number > ?1 AND number <= ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  RagifyMatches *matches = extend (before, newest);
  if (statement == NULL || matches == NULL) {
    if (matches == NULL)
      ragify_fault_memory (fault);
    free (matches);
    return NULL;
  }
  if (before == NULL)
    matches->none = ragify_condition_matches (filter, ragify_str (NULL, 0));
  (void)sqlite3_bind_int64 (statement, 1, before == NULL ? 0 : (int64_t)before->known);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)newest);
  int answer;
  while ((answer = ragify_connection_step (connection, statement, fault)) > 0) {
    uint64_t number = (uint64_t)sqlite3_column_int64 (statement, 0);
    if (ragify_condition_matches (filter, ragify_column_str (statement, 1)))
      matches->bits[number >> 3] |= (uint8_t)(1u << (number & 7));
  }
  if (answer == 0)
    return matches;
  free (matches);
  return NULL;
}

/* Brings the entry up to date. */
static RagifyMatches *
refresh (RagifyMatcher *matcher, Remembered *entry, RagifyConnection *connection, const RagifyFilter *filter,
         RagifyFault *fault)
{
  uint64_t newest;
  if (!newest_number (connection, &newest, fault))
    return NULL;
  if (entry->matches == NULL || entry->matches->known < newest) {
    RagifyMatches *matches = evaluate (connection, filter, entry->matches, newest, fault);
    if (matches == NULL)
      return NULL;
    ragify_matches_unref (entry->matches);
    entry->matches = matches;
  }
  entry->used = ++matcher->clock;
  atomic_fetch_add (&entry->matches->references, 1);
  return entry->matches;
}

RagifyMatches *
ragify_matcher_find (RagifyMatcher *matcher, RagifyConnection *connection, const RagifyFilter *filter,
                     RagifyFault *fault)
{
  size_t size;
  uint8_t *key = ragify_condition_key (filter, &size, fault);
  if (key == NULL)
    return NULL;
  (void)pthread_mutex_lock (&matcher->mutex);
  Remembered *entry = find_entry (matcher, key, size);
  if (entry->key == NULL) {
    entry->key = key;
    entry->key_size = size;
    key = NULL;
  }
  RagifyMatches *matches = refresh (matcher, entry, connection, filter, fault);
  (void)pthread_mutex_unlock (&matcher->mutex);
  free (key);
  return matches;
}
