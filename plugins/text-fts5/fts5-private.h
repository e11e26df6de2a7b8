/* The parts of the index on FTS5, for its own files. */
#ifndef RAGIFY_FTS5_PRIVATE_H
#define RAGIFY_FTS5_PRIVATE_H

#include "connection.h"
#include "folder.h"
#include "fts5-words.h"
#include "text-plugin.h"

#include <pthread.h>

#define RAGIFY_FTS5_IDLE_READERS 64u

/* What one thread searches or writes with. */
typedef struct RagifyFts5Reader {
  RagifyConnection *connection;
  RagifyPostings postings;
  RagifyAccumulator accumulator;
} RagifyFts5Reader;

struct RagifyTextIndex {
  char *folder;
  char *file;
  RagifyTextOptions options;
  bool english;
  RagifyFolder *held;
  RagifyRoster *roster;

  pthread_mutex_t writing; /* held by the one who writes */
  RagifyFts5Reader *writer;

  pthread_mutex_t mutex; /* guards what follows */
  RagifyGeneration generation;
  uint64_t chunks;
  uint32_t newest; /* the largest number that was given */
  double words;    /* in all chunks together */
  RagifyFts5Reader *idle[RAGIFY_FTS5_IDLE_READERS];
  uint32_t idle_count;
};

/* See RagifyTextBackend. */
bool ragify_fts5_upsert (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextUpsert *args,
                         RagifyFault *fault);
bool ragify_fts5_remove (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextRemove *args,
                         RagifyFault *fault);
bool ragify_fts5_optimize (RagifyTextIndex *index, RagifyFault *fault);

/* After a fault of the file: the next start makes it anew. */
void ragify_fts5_note_damage (const RagifyTextIndex *index, const RagifyFault *fault);

#endif
