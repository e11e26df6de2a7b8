/* /v1/sources: who is asked for passages, how each fares, and what an operator may change while it runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <string.h>

#include "core/pipeline/writer.h"
#include "exchange.h"

#define HEAVIEST 1000.0

static const char *const no_parameters[] = { NULL };

/* ---- writing ---- */

static void
write_name (RagifyWriter *writer, const char *name)
{
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
}

static void
write_text (RagifyWriter *writer, const char *name, const char *value)
{
  write_name (writer, name);
  ragify_writer_string (writer, ragify_str_from (value));
}

static void
write_count (RagifyWriter *writer, const char *name, guint64 value)
{
  write_name (writer, name);
  ragify_writer_uint (writer, value);
}

static void
write_number (RagifyWriter *writer, const char *name, double value)
{
  write_name (writer, name);
  ragify_writer_number (writer, value, 6);
}

static void
write_boolean (RagifyWriter *writer, const char *name, gboolean value)
{
  write_name (writer, name);
  ragify_writer_text (writer, value ? "true" : "false");
}

static const char *
status_of (const RagifyNode *node)
{
  if (!ragify_node_is_enabled (node))
    return "disabled";
  if (ragify_node_is_ejected (node))
    return "ejected";
  switch (ragify_node_breaker_state (node)) {
  case RAGIFY_BREAKER_OPEN:
    return "open-circuit";
  case RAGIFY_BREAKER_HALF_OPEN:
    return "half-open";
  case RAGIFY_BREAKER_CLOSED:
  default:
    return "ok";
  }
}

/* How long its calls took: the series that /metrics shows. */
static void
write_latency (RagifyWriter *writer, RagifyMetrics *metrics, const RagifyServedSource *source)
{
  RagifySeries *series = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_node_call_duration_seconds",
                                                "Time of one call of a node's operation", "node", source->name,
                                                "operation", source->operation, NULL);
  static const struct {
    const char *name;
    double quantile;
  } quantiles[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } };
  if (ragify_series_value (series) == 0)
    return;
  ragify_writer_text (writer, ",\"latency\":{\"count\":");
  ragify_writer_uint (writer, (guint64)ragify_series_value (series));
  for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
    write_number (writer, quantiles[i].name, ragify_series_quantile (series, quantiles[i].quantile));
  ragify_writer_text (writer, "}");
}

static void
write_node (RagifyWriter *writer, RagifyMetrics *metrics, const RagifyServedSource *source)
{
  const RagifyNodeCounts counts = ragify_node_counts (source->node);
  write_text (writer, "plugin", ragify_node_component (source->node)->name);
  write_text (writer, "status", status_of (source->node));
  write_boolean (writer, "enabled", ragify_node_is_enabled (source->node));
  write_number (writer, "weight", ragify_node_weight (source->node));
  write_count (writer, "calls", counts.calls);
  write_count (writer, "errors", counts.errors);
  write_count (writer, "timeouts", counts.timeouts);
  write_count (writer, "active", counts.active);
  write_count (writer, "queued", counts.queued);
  write_count (writer, "abandoned", counts.abandoned);
  write_latency (writer, metrics, source);
}

static void
write_members (RagifyWriter *writer, RagifyBalancer *balancer)
{
  const guint64 now = ragify_now ();
  ragify_writer_text (writer, ",\"members\":[");
  for (guint i = 0; i < ragify_balancer_n_members (balancer); i++) {
    const RagifyNode *node = ragify_balancer_member (balancer, i)->node;
    const RagifyBalancerCounts counts = ragify_balancer_counts (balancer, i, now);
    ragify_writer_text (writer, i > 0 ? ",{\"name\":" : "{\"name\":");
    ragify_writer_string (writer, ragify_str_from (ragify_node_name (node)));
    write_text (writer, "status", status_of (node));
    write_number (writer, "weight", ragify_node_weight (node));
    write_number (writer, "effective_weight", counts.effective_weight);
    write_number (writer, "health", counts.health);
    write_count (writer, "requests", counts.requests);
    write_count (writer, "errors", counts.errors);
    write_count (writer, "active", counts.under_way);
    write_number (writer, "latency", (double)counts.latency_us / G_USEC_PER_SEC);
    write_number (writer, "p95", (double)counts.p95_us / G_USEC_PER_SEC);
    ragify_writer_text (writer, "}");
  }
  ragify_writer_text (writer, "]");
}

static void
write_source (RagifyWriter *writer, RagifyMetrics *metrics, const RagifyServedSource *source)
{
  ragify_writer_text (writer, "{\"name\":");
  ragify_writer_string (writer, ragify_str_from (source->name));
  write_text (writer, "kind", source->kind);
  if (source->balancer != NULL)
    write_members (writer, source->balancer);
  else
    write_node (writer, metrics, source);
  ragify_writer_text (writer, "}");
}

static void
reply (RagifyExchange *exchange, RagifyWriter *writer)
{
  gsize size = 0;
  char *text = ragify_writer_steal (writer, &size);
  ragify_exchange_reply (exchange, 200, "application/json", text, size);
}

/* ---- listing ---- */

static gboolean
begin_plain (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

static void
finish_list (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  RagifyWriter writer;
  ragify_writer_init (&writer, 1024);
  ragify_writer_text (&writer, "{\"sources\":[");
  for (guint i = 0; i < serving->n_sources; i++) {
    if (i > 0)
      ragify_writer_text (&writer, ",");
    write_source (&writer, exchange->listener->shared->metrics, &serving->sources[i]);
  }
  ragify_writer_text (&writer, "]}");
  reply (exchange, &writer);
}

/* ---- one of them ---- */

static const RagifyServedSource *
find_source (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  g_autofree char *name = ragify_target_decode (exchange->parameter, "name", &exchange->problem);
  if (name == NULL)
    return NULL;
  for (guint i = 0; i < serving->n_sources; i++)
    if (strcmp (serving->sources[i].name, name) == 0)
      return &serving->sources[i];
  ragify_exchange_refuse (exchange, 404, "Not found", "name", "there is no source '%.100s'", name);
  return NULL;
}

static void
finish_get (RagifyExchange *exchange)
{
  const RagifyServedSource *source = find_source (exchange);
  if (source == NULL) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  RagifyWriter writer;
  ragify_writer_init (&writer, 512);
  write_source (&writer, exchange->listener->shared->metrics, source);
  reply (exchange, &writer);
}

static gboolean
begin_patch (RagifyExchange *exchange)
{
  if (!begin_plain (exchange))
    return FALSE;
  return ragify_media_type_is (exchange->facts.content_type, "application/json") ||
         ragify_media_type_is (exchange->facts.content_type, "application/merge-patch+json") ||
         ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type", "expected application/json");
}

/* Nothing is changed unless all of it is right. */
static gboolean
check_patch (RagifyExchange *exchange, const json_t *body)
{
  const char *name;
  json_t *value;
  if (!json_is_object (body) || json_object_size (body) == 0)
    return ragify_exchange_refuse (exchange, 422, "Invalid value", NULL,
                                   "body: expected an object with `enabled`, `weight` or both");
  json_object_foreach ((json_t *)body, name, value)
  {
    if (strcmp (name, "enabled") == 0) {
      if (!json_is_boolean (value))
        return ragify_exchange_refuse (exchange, 422, "Invalid value", name, "enabled: expected true or false");
    } else if (strcmp (name, "weight") == 0) {
      if (!json_is_number (value) || !(json_number_value (value) >= 0 && json_number_value (value) <= HEAVIEST))
        return ragify_exchange_refuse (exchange, 422, "Invalid value", name,
                                       "weight: expected a number from 0 to 1000");
    } else
      return ragify_exchange_refuse (exchange, 422, "Unknown field", name,
                                     "%.100s: there is no such field; there are: enabled, weight", name);
  }
  return TRUE;
}

static void
apply_patch (const RagifyServedSource *source, const json_t *body)
{
  const json_t *enabled = json_object_get (body, "enabled"), *weight = json_object_get (body, "weight");
  if (enabled != NULL)
    ragify_node_set_enabled (source->node, json_is_true (enabled));
  if (weight != NULL)
    ragify_node_set_weight (source->node, json_number_value (weight));
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "RAGIFY_NODE", source->name, "MESSAGE",
                    "%s: changed by request: %s, weight %.9g", source->name,
                    ragify_node_is_enabled (source->node) ? "enabled" : "disabled", ragify_node_weight (source->node));
}

static void
finish_patch (RagifyExchange *exchange)
{
  const RagifyServedSource *source = find_source (exchange);
  json_t *body = NULL;
  gboolean right = FALSE;
  if (source != NULL && source->balancer != NULL)
    ragify_exchange_refuse (exchange, 422, "Invalid value", "name",
                            "'%s' is a balancer; change its members, each by its own name", source->name);
  else if (source != NULL)
    body = ragify_request_load_json (exchange->body->str, exchange->received, &exchange->problem);
  if (body != NULL)
    right = check_patch (exchange, body);
  if (right) {
    apply_patch (source, body);
    finish_get (exchange);
  } else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
  json_decref (body);
}

const RagifyAction ragify_action_sources_list = { .body = RAGIFY_BODY_IGNORED,
                                                  .begin = begin_plain,
                                                  .finish = finish_list };
const RagifyAction ragify_action_source_get = { .body = RAGIFY_BODY_IGNORED,
                                                .begin = begin_plain,
                                                .finish = finish_get };
const RagifyAction ragify_action_source_patch = {
  .body = RAGIFY_BODY_GATHERED, .access = RAGIFY_ACCESS_ADMIN, .begin = begin_patch, .finish = finish_patch
};
