/* /v1/cache: what the caches do, what they have of one request, emptying them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "exchange.h"

#include <string.h>

#include "core/cache/tier-control.h"
#include "core/pipeline/writer.h"
#include "json-members.h"

#define BUSIEST 20

typedef enum { SHOW_ALL, SHOW_REQUEST, CLEAR_ALL, CLEAR_REQUEST } Task;

/* Between the exchange and the tiers; ends when the last of them has reported. */
typedef struct Work {
  RagifyExchange *exchange; /* NULL: gone */
  RagifyServing *serving;
  RagifyLoop *loop;
  Task task;
  char *tier; /* only this one; NULL: all */
  RagifyTierKey key;
  guint pending;
  GPtrArray *parts; /* what each tier said, as JSON */
  guint64 removed;
  guint failed;
  char *reason;
} Work;

/* One tier asked. */
typedef struct {
  Work *work;
  RagifyTier *tier;
  guint place;
} Ask;

/* ---- words ---- */

static void
write_rate (RagifyWriter *writer, guint64 hits, guint64 misses)
{
  ragify_json_name (writer, "hit_rate");
  if (hits + misses > 0)
    ragify_writer_number (writer, (double)hits / (double)(hits + misses), 4);
  else
    ragify_writer_text (writer, "null");
}

static void
write_value (RagifyWriter *writer, const RagifyValue *value)
{
  switch (value->type) {
  case RAGIFY_VALUE_STRING:
    ragify_writer_string (writer, value->string);
    break;
  case RAGIFY_VALUE_DOUBLE:
    ragify_writer_number (writer, value->number, 9);
    break;
  case RAGIFY_VALUE_BOOL:
    ragify_writer_text (writer, value->integer != 0 ? "true" : "false");
    break;
  default:
    ragify_writer_number (writer, (double)value->integer, 0);
  }
}

static void
write_statistics (RagifyWriter *writer, const RagifyLevelReport *report)
{
  if (!report->well) {
    ragify_json_text (writer, "error", report->reason);
    return;
  }
  ragify_json_name (writer, "statistics");
  ragify_writer_text (writer, "{");
  for (guint64 i = 0; i < report->stats.count; i++) {
    ragify_writer_text (writer, i > 0 ? "," : "");
    ragify_writer_string (writer, report->stats.items[i].name);
    ragify_writer_text (writer, ":");
    write_value (writer, &report->stats.items[i].value);
  }
  ragify_writer_text (writer, "}");
}

static void
write_counts (RagifyWriter *writer, const RagifyTierLevelCounts *counts)
{
  ragify_json_uint (writer, "hits", counts->hits);
  ragify_json_uint (writer, "misses", counts->misses);
  write_rate (writer, counts->hits, counts->misses);
  ragify_json_uint (writer, "promotions", counts->promotions);
  ragify_json_uint (writer, "writes", counts->writes);
  ragify_json_uint (writer, "waiting", counts->waiting);
  ragify_json_uint (writer, "dropped", counts->dropped);
  ragify_json_uint (writer, "errors", counts->errors);
  ragify_json_uint (writer, "skipped", counts->skipped);
  ragify_json_text (writer, "reading", counts->reading);
  ragify_json_text (writer, "writing", counts->writing);
}

static void
write_entry (RagifyWriter *writer, const RagifyLevelReport *report)
{
  if (!report->well)
    ragify_json_text (writer, "error", report->reason);
  ragify_json_bool (writer, "found", report->found);
  if (!report->found)
    return;
  ragify_json_uint (writer, "bytes", report->bytes);
  ragify_json_bool (writer, "foreign", report->foreign);
  if (report->foreign)
    return;
  ragify_json_uint (writer, "chunks", report->chunks);
  if (report->age_us != G_MAXUINT64)
    ragify_json_seconds (writer, "age", report->age_us);
  ragify_json_seconds (writer, "expires_in", report->left_us);
}

static void
write_levels (RagifyWriter *writer, const Ask *ask, const RagifyLevelReport *reports, guint count)
{
  ragify_json_name (writer, "levels");
  ragify_writer_text (writer, "[");
  for (guint i = 0; i < count; i++) {
    const RagifyTierLevelCounts counts = ragify_tier_level_counts (ask->tier, i);
    ragify_writer_text (writer, i > 0 ? ",{\"name\":" : "{\"name\":");
    ragify_writer_string (writer, ragify_str_from (counts.name));
    ragify_json_text (writer, "kind", counts.kind);
    if (ask->work->task == SHOW_ALL) {
      write_counts (writer, &counts);
      write_statistics (writer, &reports[i]);
    } else if (ask->work->task == SHOW_REQUEST)
      write_entry (writer, &reports[i]);
    ragify_writer_text (writer, "}");
  }
  ragify_writer_text (writer, "]");
}

static void
write_pipelines (RagifyWriter *writer, const RagifyServing *serving, const RagifyTier *tier)
{
  gboolean more = FALSE;
  ragify_json_name (writer, "pipelines");
  ragify_writer_text (writer, "[");
  for (guint i = 0; i < serving->n_pipelines; i++) {
    if (ragify_pipeline_tier (serving->pipelines[i]) != tier)
      continue;
    ragify_writer_text (writer, more ? "," : "");
    ragify_writer_string (writer, ragify_str_from (ragify_pipeline_name (serving->pipelines[i])));
    more = TRUE;
  }
  ragify_writer_text (writer, "]");
}

static void
write_tier (RagifyWriter *writer, const Ask *ask)
{
  const RagifyTierCounts counts = ragify_tier_counts (ask->tier);
  write_pipelines (writer, ask->work->serving, ask->tier);
  ragify_json_uint (writer, "hits", counts.hits);
  ragify_json_uint (writer, "misses", counts.misses);
  write_rate (writer, counts.hits, counts.misses);
  ragify_json_uint (writer, "coalesced", counts.coalesced);
  ragify_json_uint (writer, "wait_timeouts", counts.timeouts);
  ragify_json_uint (writer, "stale", counts.stale);
  ragify_json_uint (writer, "rejected", counts.rejected);
}

static void
write_busiest (RagifyWriter *writer, const RagifyServing *serving)
{
  gboolean more = FALSE;
  ragify_json_name (writer, "busiest");
  ragify_writer_text (writer, "[");
  for (guint i = 0; i < serving->n_pipelines; i++) {
    RagifyBusiest *busiest = ragify_pipeline_busiest (serving->pipelines[i]);
    GArray *list = busiest != NULL ? ragify_busiest_list (busiest, BUSIEST) : NULL;
    for (guint k = 0; list != NULL && k < list->len; k++) {
      const RagifyBusy *busy = &g_array_index (list, RagifyBusy, k);
      ragify_writer_text (writer, more ? ",{\"count\":" : "{\"count\":");
      more = TRUE;
      ragify_writer_uint (writer, busy->count);
      ragify_json_name (writer, "request");
      ragify_writer_text (writer, busy->text); /* JSON already */
      ragify_writer_text (writer, "}");
    }
    if (list != NULL)
      ragify_busy_list_free (list);
  }
  ragify_writer_text (writer, "]");
}

/* ---- the end ---- */

static void
write_key (RagifyWriter *writer, const RagifyTierKey *key)
{
  char text[2 * sizeof key->bytes + 1];
  for (gsize i = 0; i < sizeof key->bytes; i++)
    g_snprintf (text + 2 * i, 3, "%02x", key->bytes[i]);
  ragify_json_text (writer, "key", text);
}

static void
write_reply (RagifyWriter *writer, const Work *work)
{
  const gboolean shows = work->task == SHOW_ALL || work->task == SHOW_REQUEST;
  ragify_writer_text (writer, shows ? "{\"tiers\":[" : "{\"cleared\":[");
  for (guint i = 0; i < work->parts->len; i++) {
    ragify_writer_text (writer, i > 0 ? "," : "");
    ragify_writer_text (writer, g_ptr_array_index (work->parts, i));
  }
  ragify_writer_text (writer, "]");
  if (work->task == SHOW_REQUEST || work->task == CLEAR_REQUEST)
    write_key (writer, &work->key);
  if (!shows)
    ragify_json_uint (writer, "removed", work->removed);
  if (work->task == SHOW_ALL)
    write_busiest (writer, work->serving);
  ragify_writer_text (writer, "}");
}

static void
end_work (Work *work)
{
  RagifyExchange *exchange = work->exchange;
  if (exchange != NULL && work->failed > 0 && work->task != SHOW_ALL && work->task != SHOW_REQUEST) {
    exchange->work = NULL;
    ragify_exchange_refuse (exchange, 503, "Cache not cleared", NULL, "%u levels did not do it, such as: %s",
                            work->failed, work->reason);
    ragify_exchange_reply_problem (exchange, &exchange->problem);
  } else if (exchange != NULL) {
    RagifyWriter writer;
    gsize size = 0;
    exchange->work = NULL;
    ragify_writer_init (&writer, 4096);
    write_reply (&writer, work);
    char *body = ragify_writer_steal (&writer, &size);
    ragify_exchange_reply (exchange, 200, "application/json", body, size);
  }
  ragify_serving_unref (work->serving);
  g_ptr_array_unref (work->parts);
  g_free (work->reason);
  g_free (work->tier);
  g_free (work);
}

static void
let_go (Work *work)
{
  if (--work->pending == 0)
    end_work (work);
}

static void
reported (const RagifyLevelReport *reports, guint count, void *user)
{
  Ask *ask = user;
  Work *work = ask->work;
  RagifyWriter writer;
  gsize size = 0;
  ragify_writer_init (&writer, 1024);
  ragify_writer_text (&writer, "{\"name\":");
  ragify_writer_string (&writer, ragify_str_from (ragify_tier_name (ask->tier)));
  if (work->task == SHOW_ALL)
    write_tier (&writer, ask);
  write_levels (&writer, ask, reports, count);
  ragify_writer_bytes (&writer, "}", 2); /* and the NUL */
  g_ptr_array_index (work->parts, ask->place) = ragify_writer_steal (&writer, &size);
  for (guint i = 0; i < count; i++) {
    work->removed += reports[i].removed;
    if (reports[i].well)
      continue;
    work->failed++;
    g_free (work->reason);
    work->reason = g_strdup (reports[i].reason);
  }
  g_free (ask);
  let_go (work);
}

/* ---- the beginning ---- */

static void
ask_tier (Work *work, RagifyTier *tier)
{
  Ask *ask = g_new (Ask, 1);
  *ask = (Ask){ .work = work, .tier = tier, .place = work->parts->len };
  g_ptr_array_add (work->parts, NULL);
  work->pending++;
  switch (work->task) {
  case SHOW_ALL:
    ragify_tier_stats (tier, reported, ask);
    break;
  case SHOW_REQUEST:
    ragify_tier_inspect (tier, &work->key, reported, ask);
    break;
  case CLEAR_ALL:
    ragify_tier_clear (tier, reported, ask);
    break;
  case CLEAR_REQUEST:
    ragify_tier_remove (tier, &work->key, reported, ask);
    break;
  }
}

static gboolean
check_tier (RagifyExchange *exchange, const char *name)
{
  const RagifyServing *serving = exchange->listener->serving;
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint i = 0; i < serving->n_tiers; i++) {
    if (name == NULL || strcmp (ragify_tier_name (serving->tiers[i]), name) == 0)
      return TRUE;
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", ragify_tier_name (serving->tiers[i]));
  }
  return name == NULL ||
         ragify_exchange_refuse (exchange, 404, "Not found", "tier", "there is no tier '%.100s'; there are: %s", name,
                                 names->len > 0 ? names->str : "none");
}

static gboolean
parse_key (RagifyExchange *exchange, const char *text, RagifyTierKey *key)
{
  gboolean good = strlen (text) == 2 * sizeof key->bytes;
  for (gsize i = 0; good && i < sizeof key->bytes; i++) {
    const int high = g_ascii_xdigit_value (text[2 * i]), low = g_ascii_xdigit_value (text[2 * i + 1]);
    good = high >= 0 && low >= 0;
    if (good)
      key->bytes[i] = (guint8)(high << 4 | low);
  }
  return good || ragify_exchange_refuse (exchange, 422, "Invalid value", "key",
                                         "expected 32 hexadecimal digits, found '%.100s'", text);
}

/* The tier and the key that the request's parameters mean, as for GET /v1/context. */
static gboolean
find_request (RagifyExchange *exchange, char **tier, RagifyTierKey *key)
{
  const RagifyQuery *query = exchange->query;
  RagifyProblem *problem = &exchange->problem;
  RagifyRequest *request = ragify_request_parse_parameters ((const char *const *)query->names,
                                                            (const char *const *)query->values, query->count, problem);
  if (request == NULL)
    return FALSE;
  request->loop = exchange->listener->loop;
  RagifyPipeline *pipeline = ragify_serving_pipeline (exchange->listener->serving, request->pipeline);
  RagifyTierKey identity;
  gboolean good;
  if (pipeline == NULL)
    good = ragify_exchange_refuse (exchange, 422, "Invalid value", "pipeline", "there is no pipeline '%.*s'",
                                   (int)MIN (request->pipeline.size, 100), request->pipeline.data);
  else
    good = ragify_pipeline_identify (pipeline, request, &identity, key, problem);
  if (good)
    *tier = g_strdup (ragify_tier_name (ragify_pipeline_tier (pipeline)));
  ragify_owner_unref (&request->owner);
  return good;
}

/* What the parameters ask for; FALSE: refused. */
static gboolean
find_subject (RagifyExchange *exchange, gboolean *one, char **tier, RagifyTierKey *key)
{
  static const char *const by_tier[] = { "tier", "key", NULL };
  const RagifyQuery *query = exchange->query;
  const char *name = ragify_query_get (query, "tier"), *hexadecimal = ragify_query_get (query, "key");
  *one = hexadecimal != NULL;
  if (query != NULL && query->count > 0 && name == NULL && hexadecimal == NULL) {
    *one = TRUE;
    return find_request (exchange, tier, key);
  }
  if (!ragify_query_allow (query, by_tier, &exchange->problem) || !check_tier (exchange, name) ||
      (hexadecimal != NULL && !parse_key (exchange, hexadecimal, key)))
    return FALSE;
  *tier = g_strdup (name);
  return TRUE;
}

static void
begin_work (RagifyExchange *exchange, Task all, Task one)
{
  gboolean is_one = FALSE;
  char *tier = NULL;
  RagifyTierKey key = { 0 };
  if (!find_subject (exchange, &is_one, &tier, &key)) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  Work *work = g_new0 (Work, 1);
  work->exchange = exchange;
  work->serving = ragify_serving_ref (exchange->listener->serving);
  work->task = is_one ? one : all;
  work->tier = tier;
  work->key = key;
  work->parts = g_ptr_array_new_with_free_func (g_free);
  work->pending = 1;
  exchange->work = work;
  for (guint i = 0; i < work->serving->n_tiers; i++)
    if (tier == NULL || strcmp (tier, ragify_tier_name (work->serving->tiers[i])) == 0)
      ask_tier (work, work->serving->tiers[i]);
  let_go (work);
}

static void
finish_show (RagifyExchange *exchange)
{
  begin_work (exchange, SHOW_ALL, SHOW_REQUEST);
}

static void
finish_clear (RagifyExchange *exchange)
{
  begin_work (exchange, CLEAR_ALL, CLEAR_REQUEST);
}

static void
detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work != NULL)
    work->exchange = NULL;
}

const RagifyAction ragify_action_cache_show = { .access = RAGIFY_ACCESS_READ, .finish = finish_show, .detach = detach };
const RagifyAction ragify_action_cache_clear = { .access = RAGIFY_ACCESS_ADMIN,
                                                 .finish = finish_clear,
                                                 .detach = detach };
