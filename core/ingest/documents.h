/* Documents in: cut into chunks, embedded, committed to a store and its text indexes; and out: read, listed, deleted.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread of its own per library runs the writes one after the other in a blocking style; requests hand over and are
 * called back on their loop.
 */
#pragma once

#include "core/ingest/document.h"
#include "core/ingest/hold.h"
#include "core/module/node.h"
#include "core/pipeline/pipeline.h"
#include "core/pipeline/request.h"

typedef struct RagifyLibrary RagifyLibrary;

/* A vector store with what hangs on it. */
typedef struct RagifyLibraryOptions {
  const char *name; /* of the store */
  RagifyNode *store;
  RagifyNode *embedder; /* NULL: words only */
  RagifyNode *const *text_indexes;
  guint n_text_indexes;
  guint chunk_size;       /* characters, 1000 */
  guint chunk_overlap;    /* characters, 150 */
  gboolean chunk_tokens;  /* both are in the embedder's tokens */
  guint upsert_batch;     /* chunks that are written together, at most; 0: 1000 */
  guint64 optimize_every; /* chunks that are written; 0: only when asked */
  const char *state_dir;  /* long uploads lie below it until they are whole */
  /* After each committed write, before it is acknowledged, and when its text indexes have caught up. `removed` NULL:
   * what has gone is not known. `behind`: one of the indexes lacks some of what the generation holds. */
  void (*changed) (void *user, RagifyNode *store, const RagifyGeneration *generation, const RagifyUuidList *removed,
                   gboolean behind);
  void *user;
} RagifyLibraryOptions;

/* Brings the text indexes up to the store's generation (catching up, or rebuilding) and starts the thread. [control] */
RagifyLibrary *ragify_library_new (RagifyRuntime *runtime, const RagifyLibraryOptions *options, GError **error);
/* Between two writes: puts `options` in force, whose name and store are the library's, and brings the text indexes up
 * to the store. Waits for it. FALSE with an error when nothing was changed. [control] */
gboolean ragify_library_change (RagifyLibrary *library, const RagifyLibraryOptions *options, GError **error);
/* Between two writes: says the store's generation to `changed` of the options, as after a write. Waits for it.
 * [control]
 */
void ragify_library_announce (RagifyLibrary *library);
/* The host is shutting down: what an embedder has still to do is not waited for any more; whoever wrote it is told 503.
 * [any] */
void ragify_library_hurry (RagifyLibrary *library);
void ragify_library_free (RagifyLibrary *library); /* finishes the write under way; refuses the others. [control] */
const char *ragify_library_name (const RagifyLibrary *library);

typedef enum { RAGIFY_CHUNKING_DEFAULT, RAGIFY_CHUNKING_NONE } RagifyChunking;
typedef enum { RAGIFY_BODY_JSON, RAGIFY_BODY_NDJSON, RAGIFY_BODY_TEXT } RagifyBodyType;

/* One upload: bytes are fed as they come, parsed and ingested batch by batch, in bounded memory. */
typedef struct RagifyUpload RagifyUpload;

/* Runs on `loop`: `body` is the JSON answer (200), or `problem` is set. Both are freed afterwards. */
typedef void (*RagifyLibraryReplied) (const char *body, gsize size, const RagifyProblem *problem, void *user);

/* `hold`: what the uploader is held to, or NULL; a reference is taken. [loop] */
RagifyUpload *ragify_upload_new (RagifyLibrary *library, RagifyLoop *loop, RagifyBodyType type, RagifyChunking chunking,
                                 RagifyHold *hold);
/* The same of one document that comes as text; takes `document`, whose content is not looked at. [loop] */
RagifyUpload *ragify_upload_new_text (RagifyLibrary *library, RagifyLoop *loop, RagifyIncoming *document,
                                      RagifyChunking chunking, RagifyHold *hold);
/* TRUE: go on. FALSE: no more may be fed until `resume` runs on the loop. After an error bytes are swallowed. [loop] */
gboolean
ragify_upload_feed (RagifyUpload *upload, const char *data, gsize size, void (*resume) (void *user), void *user);
/* The body is whole; `replied` runs once everything is committed. The upload is freed afterwards. [loop] */
void ragify_upload_finish (RagifyUpload *upload, RagifyLibraryReplied replied, void *user);
/* The client left: what is not yet committed is dropped. Frees the upload. A `resume`
 * that was on its way may still run. [loop] */
void ragify_upload_abort (RagifyUpload *upload);

/* Of a document at most so many chunks, of a list so many documents, from the cursor on ("": from the beginning); an
 * answer's `next_cursor` reads on. */
#define RAGIFY_LIBRARY_MOST_CHUNKS 10000u
#define RAGIFY_LIBRARY_MOST_DOCUMENTS 1000u

/* With a `hold` (or NULL), of which a reference is taken, there are only the documents that match it; of a list also
 * only those that match `wanted` (or NULL). [loop] */
void ragify_library_get (RagifyLibrary *library, RagifyLoop *loop, const char *document, const char *cursor,
                         guint limit, RagifyHold *hold, RagifyLibraryReplied replied, void *user);
void ragify_library_list (RagifyLibrary *library, RagifyLoop *loop, const char *cursor, guint limit, RagifyHold *wanted,
                          RagifyHold *hold, RagifyLibraryReplied replied, void *user);
/* Deletes all documents that match `wanted`; the answer says how many. */
void ragify_library_delete_matching (RagifyLibrary *library, RagifyLoop *loop, RagifyHold *wanted, RagifyHold *hold,
                                     RagifyLibraryReplied replied, void *user);
void ragify_library_delete (RagifyLibrary *library, RagifyLoop *loop, const char *document, RagifyHold *hold,
                            RagifyLibraryReplied replied, void *user);
/* Has the store put its index in order, or build one; searches and writes go on. Answers with the store's numbers.
 * [loop]
 */
void ragify_library_optimize (RagifyLibrary *library, RagifyLoop *loop, RagifyLibraryReplied replied, void *user);
/* The same soon, and by itself: what comes of it is logged. [control] and the library's thread. */
void ragify_library_optimize_soon (RagifyLibrary *library);
/* Has the store make a copy of itself at `path`, where nothing is yet. Answers with its size. [loop] */
void ragify_library_backup (RagifyLibrary *library, RagifyLoop *loop, const char *path, RagifyLibraryReplied replied,
                            void *user);
/* Has the store look whether what it holds agrees with itself, and mend it. Answers with what it found. [loop] */
void ragify_library_verify (RagifyLibrary *library, RagifyLoop *loop, gboolean repair, RagifyLibraryReplied replied,
                            void *user);
