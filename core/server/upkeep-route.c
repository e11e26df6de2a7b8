/* /v1/admin/optimize, backup, verify, reindex: what an operator has a store do.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "library-exchange.h"

/* ---- backup ---- */

/* Every segment is a name; none is "..". */
static gboolean
is_beneath (const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  for (guint i = 0; names[i] != NULL; i++)
    if (names[i][0] == '\0' || strcmp (names[i], ".") == 0 || strcmp (names[i], "..") == 0)
      return FALSE;
  return *path != '\0';
}

static char *
name_for (const RagifyLibrary *library)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y%m%dT%H%M%SZ");
  return g_strdup_printf ("%s-%s", ragify_library_name (library), time);
}

/* Where the copy goes: beneath the folder for backups, whoever asks. NULL: refused. */
static char *
find_place (RagifyExchange *exchange, const RagifyLibrary *library)
{
  const char *folder = exchange->listener->serving->backup_dir;
  const char *to = ragify_query_get (exchange->query, "to");
  g_autofree char *name = to == NULL ? name_for (library) : NULL;
  const char *rest = to != NULL ? to : name;
  g_autofree char *prefix = g_strconcat (folder, "/", NULL);
  if (g_str_has_prefix (rest, prefix))
    rest += strlen (prefix);
  if (is_beneath (rest))
    return g_strconcat (prefix, rest, NULL);
  ragify_exchange_refuse (exchange, 400, "Invalid value", "to",
                          "expected a name, or a path beneath %s, which [host] backup-dir says; found '%.200s'", folder,
                          rest);
  return NULL;
}

static void
backup_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", "to", NULL };
  RagifyLibrary *library =
      ragify_query_allow (exchange->query, known, &exchange->problem) ? ragify_exchange_library (exchange) : NULL;
  g_autofree char *path = library != NULL ? find_place (exchange, library) : NULL;
  void *work = path != NULL ? ragify_library_exchange_begin (exchange, library, "backup") : NULL;
  if (work != NULL)
    ragify_library_backup (library, exchange->listener->loop, path, ragify_library_exchange_replied, work);
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

/* ---- optimize, verify ---- */

static void
optimize_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", NULL };
  RagifyLibrary *library =
      ragify_query_allow (exchange->query, known, &exchange->problem) ? ragify_exchange_library (exchange) : NULL;
  void *work = library != NULL ? ragify_library_exchange_begin (exchange, library, "optimize") : NULL;
  if (work != NULL)
    ragify_library_optimize (library, exchange->listener->loop, ragify_library_exchange_replied, work);
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static gboolean
find_repair (RagifyExchange *exchange, gboolean *repair)
{
  const char *text = ragify_query_get (exchange->query, "repair");
  *repair = text != NULL && strcmp (text, "true") == 0;
  return text == NULL || *repair || strcmp (text, "false") == 0 ||
         ragify_exchange_refuse (exchange, 400, "Invalid value", "repair", "expected true or false, found '%.100s'",
                                 text);
}

static void
verify_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", "repair", NULL };
  gboolean repair = FALSE;
  RagifyLibrary *library =
      ragify_query_allow (exchange->query, known, &exchange->problem) && find_repair (exchange, &repair)
          ? ragify_exchange_library (exchange)
          : NULL;
  void *work = library != NULL ? ragify_library_exchange_begin (exchange, library, "verify") : NULL;
  if (work != NULL)
    ragify_library_verify (library, exchange->listener->loop, repair, ragify_library_exchange_replied, work);
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

/* ---- reindex ---- */

static RagifyReindexer *
reindexer_of (const RagifyServing *serving, const RagifyLibrary *library)
{
  for (guint i = 0; i < serving->n_reindexers; i++)
    if (strcmp (ragify_reindexer_store (serving->reindexers[i]), ragify_library_name (library)) == 0)
      return serving->reindexers[i];
  return NULL;
}

/* Takes `json`. */
static void
reply_json (RagifyExchange *exchange, guint status, json_t *json)
{
  char *text = json_dumps (json, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (json);
  ragify_exchange_reply (exchange, status, "application/json", g_strdup (text), strlen (text));
  free (text);
}

static void
reindex (RagifyExchange *exchange, gboolean begin)
{
  static const char *const known[] = { "store", NULL };
  RagifyLibrary *library =
      ragify_query_allow (exchange->query, known, &exchange->problem) ? ragify_exchange_library (exchange) : NULL;
  RagifyReindexer *reindexer = library != NULL ? reindexer_of (exchange->listener->serving, library) : NULL;
  if (library != NULL && reindexer == NULL && !begin) {
    reply_json (exchange, 200, json_pack ("{s:s, s:s}", "store", ragify_library_name (library), "state", "up-to-date"));
    return;
  }
  if (library != NULL && reindexer == NULL)
    ragify_exchange_refuse (exchange, 409, "Nothing to do", "store",
                            "the vectors of '%s' are those of its embedder; to change to another one, name that as its "
                            "`embedder`, the present one as its `former-embedder`, and reload",
                            ragify_library_name (library));
  if (reindexer == NULL) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  if (begin)
    ragify_reindexer_start (reindexer);
  reply_json (exchange, begin ? 202 : 200, ragify_reindexer_describe (reindexer));
}

static void
reindex_begin_finish (RagifyExchange *exchange)
{
  reindex (exchange, TRUE);
}

static void
reindex_show_finish (RagifyExchange *exchange)
{
  reindex (exchange, FALSE);
}

const RagifyAction ragify_action_optimize = { .access = RAGIFY_ACCESS_ADMIN,
                                              .finish = optimize_finish,
                                              .detach = ragify_library_exchange_detach };
const RagifyAction ragify_action_backup = { .access = RAGIFY_ACCESS_ADMIN,
                                            .finish = backup_finish,
                                            .detach = ragify_library_exchange_detach };
const RagifyAction ragify_action_verify = { .access = RAGIFY_ACCESS_ADMIN,
                                            .finish = verify_finish,
                                            .detach = ragify_library_exchange_detach };
const RagifyAction ragify_action_reindex = { .access = RAGIFY_ACCESS_ADMIN, .finish = reindex_begin_finish };
const RagifyAction ragify_action_reindex_show = { .access = RAGIFY_ACCESS_ADMIN, .finish = reindex_show_finish };
