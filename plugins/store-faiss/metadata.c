#include "metadata.h"

#include "json-condition.h"
#include "words.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct RagifyMatches {
  atomic_uint references;
  uint64_t known;
  uint64_t words[]; /* a bit for each number up to it; that of RAGIFY_METADATA_NONE among them */
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
ragify_metadata_newest (RagifyConnection *connection, uint64_t *newest, RagifyFault *fault)
{
  static const char sql[] = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'metadata'";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *newest = (uint64_t)sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

RagifyMatches *
ragify_matches_new (uint64_t known)
{
  RagifyMatches *matches = calloc (1, sizeof *matches + ragify_words_for (known + 1) * sizeof matches->words[0]);
  if (matches == NULL)
    return NULL;
  atomic_init (&matches->references, 1);
  matches->known = known;
  return matches;
}

RagifyMatches *
ragify_matches_evaluate (RagifyConnection *connection, const RagifyFilter *filter, const RagifyMatches *before,
                         uint64_t newest, RagifyFault *fault)
{
  static const char sql[] = "SELECT number, json FROM metadata WHERE number > ?1 AND number <= ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  RagifyMatches *matches = statement == NULL ? NULL : ragify_matches_new (newest);
  if (matches == NULL) {
    if (statement != NULL)
      ragify_fault_memory (fault);
    return NULL;
  }
  if (before != NULL)
    memcpy (matches->words, before->words, ragify_words_for (before->known + 1) * sizeof matches->words[0]);
  else if (ragify_condition_matches (filter, ragify_str (NULL, 0)))
    ragify_words_add (matches->words, RAGIFY_METADATA_NONE);
  (void)sqlite3_bind_int64 (statement, 1, before == NULL ? 0 : (int64_t)before->known);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)newest);
  int answer;
  while ((answer = ragify_connection_step (connection, statement, fault)) > 0)
    if (ragify_condition_matches (filter, ragify_column_str (statement, 1)))
      ragify_words_add (matches->words, (uint64_t)sqlite3_column_int64 (statement, 0));
  if (answer == 0)
    return matches;
  ragify_matches_unref (matches);
  return NULL;
}

bool
ragify_matches_catch_up (RagifyConnection *connection, const RagifyFilter *filter, RagifyMatches **matches,
                         RagifyFault *fault)
{
  uint64_t newest;
  if (!ragify_metadata_newest (connection, &newest, fault))
    return false;
  if (newest <= (*matches)->known)
    return true;
  RagifyMatches *all = ragify_matches_evaluate (connection, filter, *matches, newest, fault);
  if (all == NULL)
    return false;
  ragify_matches_unref (*matches);
  *matches = all;
  return true;
}

bool
ragify_matches_has (const RagifyMatches *matches, uint64_t number)
{
  return number <= matches->known && ragify_words_has (matches->words, number);
}

uint64_t
ragify_matches_known (const RagifyMatches *matches)
{
  return matches->known;
}

uint64_t *
ragify_matches_words (RagifyMatches *matches)
{
  return matches->words;
}

const uint64_t *
ragify_matches_bits (const RagifyMatches *matches)
{
  return matches->words;
}

uint64_t
ragify_matches_bytes (const RagifyMatches *matches)
{
  return sizeof *matches + ragify_words_for (matches->known + 1) * sizeof matches->words[0];
}

RagifyMatches *
ragify_matches_ref (RagifyMatches *matches)
{
  if (matches != NULL)
    atomic_fetch_add (&matches->references, 1);
  return matches;
}

void
ragify_matches_unref (RagifyMatches *matches)
{
  if (matches != NULL && atomic_fetch_sub (&matches->references, 1) == 1)
    free (matches);
}
