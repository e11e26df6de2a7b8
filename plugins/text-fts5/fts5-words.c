#include "fts5-words.h"

#include "tokenizer.h"

#include <stdlib.h>

/* A token on its way to FTS5. */
typedef struct {
  void *context;
  int (*take) (void *context, int flags, const char *text, int size, int begin, int end);
  int code;
} Passing;

/* FTS5 wants a tokenizer's instance; ours has nothing to keep. */
static int
tokenizer_create (void *context, const char **arguments, int count, Fts5Tokenizer **tokenizer)
{
  (void)context;
  (void)arguments;
  (void)count;
  *tokenizer = malloc (1);
  return *tokenizer != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static void
tokenizer_delete (Fts5Tokenizer *tokenizer)
{
  free (tokenizer);
}

static bool
pass (void *user, const RagifyToken *token)
{
  Passing *passing = user;
  passing->code =
      passing->take (passing->context, 0, token->text, (int)token->size, (int)token->begin, (int)token->end);
  return passing->code == SQLITE_OK;
}

static int
tokenizer_run (Fts5Tokenizer *tokenizer, void *context, int flags, const char *text, int size,
               int (*take) (void *, int, const char *, int, int, int))
{
  (void)tokenizer;
  Passing passing = { .context = context, .take = take, .code = SQLITE_OK };
  bool query = (flags & FTS5_TOKENIZE_QUERY) != 0;
  (void)ragify_tokenize (ragify_str (text, (size_t)size), query ? RAGIFY_TOKENIZE_QUERY : RAGIFY_TOKENIZE_DOCUMENT,
                         pass, &passing);
  return passing.code;
}

static void
gather (const Fts5ExtensionApi *api, Fts5Context *context, sqlite3_context *result, int count, sqlite3_value **values)
{
  (void)count;
  (void)values;
  RagifyPostings *postings = api->xUserData (context);
  int times = 0;
  int code = api->xInstCount (context, &times);
  if (code != SQLITE_OK) {
    sqlite3_result_error_code (result, code);
    return;
  }
  if (postings->count == postings->room) {
    uint32_t room = postings->room * 2 + 1024;
    RagifyPosting *grown = realloc (postings->items, room * sizeof *grown);
    if (grown == NULL) {
      postings->exhausted = true;
      sqlite3_result_error_nomem (result);
      return;
    }
    postings->items = grown;
    postings->room = room;
  }
  postings->items[postings->count++] =
      (RagifyPosting){ .number = (uint32_t)api->xRowid (context), .times = (uint32_t)times };
}

static fts5_api *
find_api (sqlite3 *handle)
{
  fts5_api *api = NULL;
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2 (handle, "SELECT fts5 (?1)", -1, &statement, NULL) != SQLITE_OK)
    return NULL;
  (void)sqlite3_bind_pointer (statement, 1, (void *)&api, "fts5_api_ptr", NULL);
  (void)sqlite3_step (statement);
  (void)sqlite3_finalize (statement);
  return api;
}

bool
ragify_fts5_words_register (sqlite3 *handle, RagifyPostings *postings, RagifyFault *fault)
{
  fts5_tokenizer tokenizer = { .xCreate = tokenizer_create, .xDelete = tokenizer_delete, .xTokenize = tokenizer_run };
  fts5_api *api = find_api (handle);
  if (api == NULL)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "expected a SQLite with FTS5, found %s without it",
                             sqlite3_libversion ());
  if (api->xCreateTokenizer (api, "ragify", NULL, &tokenizer, NULL) != SQLITE_OK ||
      api->xCreateFunction (api, "gather", postings, gather, NULL) != SQLITE_OK)
    return ragify_fault_memory (fault);
  return true;
}
