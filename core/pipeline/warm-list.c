/* SPDX-License-Identifier: MIT */
#include "core/pipeline/warm-list.h"

#include <string.h>

RagifyWarmList *
ragify_warm_list_new (void)
{
  RagifyWarmList *list = g_new0 (RagifyWarmList, 1);
  list->items = g_array_new (FALSE, FALSE, sizeof (RagifyWarmItem));
  return list;
}

void
ragify_warm_list_free (RagifyWarmList *list)
{
  for (guint i = 0; i < list->items->len; i++) {
    RagifyWarmItem *item = &g_array_index (list->items, RagifyWarmItem, i);
    g_free (item->text);
    g_free (item->pipeline);
  }
  g_array_unref (list->items);
  g_free (list);
}

guint
ragify_warm_list_length (const RagifyWarmList *list)
{
  return list->items->len;
}

void
ragify_warm_list_add (RagifyWarmList *list, const char *text, const char *pipeline, guint64 seen)
{
  const RagifyWarmItem item = { .text = g_strdup (text), .pipeline = g_strdup (pipeline), .seen = seen };
  g_array_append_val (list->items, item);
}

gboolean
ragify_warm_list_add_file (RagifyWarmList *list, const char *path, const char *pipeline, GError **error)
{
  g_autofree char *text = NULL;
  gsize size;
  if (!g_file_get_contents (path, &text, &size, error))
    return FALSE;
  if (!g_utf8_validate (text, (gssize)size, NULL)) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: expected UTF-8, found other bytes", path);
    return FALSE;
  }
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++) {
    const char *line = g_strstrip (lines[i]);
    if (*line != '\0' && *line != '#')
      ragify_warm_list_add (list, line, pipeline, 0);
  }
  return TRUE;
}

void
ragify_warm_list_add_busiest (RagifyWarmList *list, RagifyPipeline *pipeline, guint limit)
{
  GArray *busiest = ragify_busiest_list (ragify_pipeline_busiest (pipeline), limit);
  for (guint i = 0; i < busiest->len; i++)
    ragify_warm_list_add (list, g_array_index (busiest, RagifyBusy, i).text, ragify_pipeline_name (pipeline), 0);
  ragify_busy_list_free (busiest);
}

RagifyRequest *
ragify_warm_item_parse (const RagifyWarmItem *item, RagifyProblem *problem)
{
  RagifyRequest *request;
  if (*item->text == '{') {
    request = ragify_request_parse_json (item->text, strlen (item->text), problem);
  } else {
    const char *name = "query", *value = item->text;
    request = ragify_request_parse_parameters (&name, &value, 1, problem);
  }
  if (request == NULL)
    return NULL;
  const gboolean unsaid = request->pipeline.size == 7 && memcmp (request->pipeline.data, "default", 7) == 0;
  if (unsaid && item->pipeline != NULL) {
    const gsize size = strlen (item->pipeline);
    request->pipeline = ragify_str (ragify_arena_copy (request->owner.arena, item->pipeline, size), size);
  }
  request->seen = item->seen;
  return request;
}
