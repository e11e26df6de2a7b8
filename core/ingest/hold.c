/* SPDX-License-Identifier: MIT */
#include "core/ingest/hold.h"

#include <string.h>
#include <xxhash.h>

#include "core/pipeline/filter.h"

struct RagifyHold {
  gint references; /* atomic */
  RagifyArena *arena;
  const RagifyFilter *filter;
  json_t *mark; /* NULL: there is none that would do */
  guint64 seed; /* of the ids of documents that have none */
};

/* The members that must equal one value; NULL where the filter wants anything else. */
static json_t *
mark_of (const json_t *filter)
{
  json_t *mark = json_object (), *value = NULL;
  const char *member = NULL;
  json_object_foreach ((json_t *)filter, member, value)
  {
    json_t *equal = json_is_object (value) && json_object_size (value) == 1 ? json_object_get (value, "eq") : NULL;
    equal = equal != NULL ? equal : value;
    if (json_is_object (equal) || json_is_array (equal) || json_is_null (equal)) {
      json_decref (mark);
      return NULL;
    }
    json_object_set (mark, member, equal);
  }
  return mark;
}

static guint64
seed_of (const json_t *filter)
{
  char *text = json_dumps (filter, JSON_COMPACT | JSON_SORT_KEYS);
  const guint64 seed = XXH3_64bits (text, strlen (text));
  free (text);
  return seed;
}

RagifyHold *
ragify_hold_new (const json_t *filter, RagifyProblem *problem)
{
  g_autoptr (RagifyHold) hold = g_new0 (RagifyHold, 1);
  hold->references = 1;
  hold->arena = ragify_arena_new (0);
  if (!ragify_filter_parse (hold->arena, filter, &hold->filter, problem))
    return NULL;
  if (hold->filter == NULL) {
    ragify_problem_set (problem, 422, "Invalid value", "filter", "has no condition, so that everything would match");
    return NULL;
  }
  hold->mark = mark_of (filter);
  hold->seed = seed_of (filter);
  return g_steal_pointer (&hold);
}

RagifyHold *
ragify_hold_ref (RagifyHold *hold)
{
  g_atomic_int_inc (&hold->references);
  return hold;
}

void
ragify_hold_unref (RagifyHold *hold)
{
  if (!g_atomic_int_dec_and_test (&hold->references))
    return;
  json_decref (hold->mark);
  ragify_arena_free (hold->arena);
  g_free (hold);
}

const RagifyFilter *
ragify_hold_filter (const RagifyHold *hold)
{
  return hold->filter;
}

const RagifyFilter *
ragify_hold_narrow (const RagifyHold *hold, const RagifyFilter *filter, RagifyArena *arena)
{
  if (hold == NULL || filter == NULL)
    return hold != NULL ? hold->filter : filter;
  RagifyFilter *both = ragify_arena_alloc (arena, 3 * sizeof *both);
  both[1] = *hold->filter;
  both[2] = *filter;
  both[0] = (RagifyFilter){ .struct_size = sizeof *both,
                            .op = RAGIFY_FILTER_AND,
                            .children = { .items = both + 1, .count = 2, .stride = sizeof *both } };
  return both;
}

gboolean
ragify_hold_marks (const RagifyHold *hold)
{
  return hold->mark != NULL;
}

gboolean
ragify_hold_mark (const RagifyHold *hold, RagifyIncoming *incoming, char **field, char **reason)
{
  json_t *metadata = *incoming->metadata != '\0' ? json_loads (incoming->metadata, 0, NULL) : json_object ();
  json_t *wanted = NULL;
  const char *member = NULL;
  gboolean well = TRUE;
  json_object_foreach (hold->mark, member, wanted)
  {
    const json_t *given = json_object_get (metadata, member);
    if (given != NULL && !json_equal (given, wanted)) {
      char *text = json_dumps (wanted, JSON_ENCODE_ANY);
      *field = g_strdup_printf ("metadata.%s", member);
      *reason = g_strdup_printf ("must be %s for this key", text);
      free (text);
      well = FALSE;
      break;
    }
    json_object_set (metadata, member, wanted);
  }
  if (well) {
    char *text = json_dumps (metadata, JSON_COMPACT | JSON_SORT_KEYS);
    g_free (incoming->metadata);
    incoming->metadata = g_strdup (text);
    free (text);
    ragify_incoming_disown_id (incoming, hold->seed);
  }
  json_decref (metadata);
  return well;
}
