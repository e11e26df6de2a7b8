/* SPDX-License-Identifier: MIT */
#include "config/loader.h"
#include "config/suggest.h"

#include <string.h>

/* Names by kind, for "did you mean". */
typedef struct Edges {
  RagifyLoader *loader;
  GPtrArray *by_kind[RAGIFY_N_KINDS]; /* RagifyConfigNode */
} Edges;

/* One reference being resolved. */
typedef struct Reference {
  const RagifyConfigNode *node;
  const RagifyHostKey *key;
  const RagifyDraftEntry *entry;
  const char *name;
  const char *shown; /* what a message may show of it: the name, or what was written where a variable is in that */
  size_t offset;
} Reference;

static void G_GNUC_PRINTF (3, 4) report (const Edges *edges, const Reference *reference, const char *format, ...)
{
  RagifyPlace place = ragify_draft_value_place (reference->node->draft, reference->entry, reference->offset);
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_diagnostics_report (edges->loader->diagnostics, RAGIFY_SEVERITY_ERROR, &place, "%s", message);
}

/* The node of that name whose kind is in `kinds`. Kinds that one reference may name share a name space, so that there
 * is at most one. */
static const RagifyConfigNode *
find_node (const Edges *edges, const char *name, uint32_t kinds)
{
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++) {
    const RagifyConfigNode *node = NULL;

    if ((kinds & RAGIFY_KIND_BIT (kind)) == 0 || !ragify_kind_info ((RagifyKind)kind)->named)
      continue;
    node = ragify_config_find (edges->loader->config, ragify_kind_info ((RagifyKind)kind)->name, name);
    if (node != NULL)
      return node;
  }
  return NULL;
}

static void
report_unknown (const Edges *edges, const Reference *reference)
{
  uint32_t kinds = reference->key->references;
  const RagifyConfigNode *other = find_node (edges, reference->name, ~kinds);
  g_autofree char *wanted = ragify_kinds_text (kinds, " or ");
  g_autofree char *shown = ragify_quote (reference->shown);
  g_autofree char *hint = NULL;
  RagifySuggestion suggestion;

  edges->loader->incomplete = true;
  if (g_hash_table_contains (edges->loader->broken_names, reference->name))
    return;
  if (other != NULL) {
    report (edges, reference, "'%s' refers to %s groups, and %s is [%s]", reference->key->key.name, wanted, shown,
            other->group);
    return;
  }
  ragify_suggestion_init (&suggestion, reference->name, &edges->loader->suggestions);
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    for (unsigned int i = 0;
         (kinds & RAGIFY_KIND_BIT (kind)) != 0 && i < edges->by_kind[kind]->len && edges->loader->suggestions > 0; i++)
      ragify_suggestion_try (&suggestion,
                             ((const RagifyConfigNode *)g_ptr_array_index (edges->by_kind[kind], i))->name);
  hint = ragify_suggestion_text (&suggestion);
  if (suggestion.best == NULL)
    report (edges, reference, "'%s': unknown reference %s; no %s has this name", reference->key->key.name, shown,
            wanted);
  else
    report (edges, reference, "'%s': unknown reference %s%s", reference->key->key.name, shown, hint);
}

/* Adds the reference's node to `targets` when it is there and enabled; counts the disabled ones. */
static void
resolve (const Edges *edges, const Reference *reference, GPtrArray *targets, unsigned int *disabled)
{
  const RagifyConfigNode *target = find_node (edges, reference->name, reference->key->references);

  if (target == NULL)
    report_unknown (edges, reference);
  else if (!target->enabled)
    ++*disabled;
  else if (g_ptr_array_find (targets, target, NULL))
    report (edges, reference, "'%s' names '%s' twice", reference->key->key.name, reference->name);
  else
    g_ptr_array_add (targets, (gpointer)target);
}

static GArray *
split_names (const Edges *edges, const Reference *reference, bool *expanded)
{
  const char *raw = reference->entry->entry->value;
  RagifyTextError error = { 0 };
  g_autoptr (GArray) names = ragify_text_list (raw, edges->loader->context.environment, expanded, &error);

  if (names == NULL) {
    Reference at = *reference;

    at.offset = error.offset;
    report (edges, &at, "'%s': %s", reference->key->key.name, error.message);
    g_free (error.message);
    return NULL;
  }
  if (reference->key->key.type == RAGIFY_KEY_REFERENCE && names->len != 1) {
    report (edges, reference, "'%s' takes one name, found %u", reference->key->key.name, names->len);
    return NULL;
  }
  return g_steal_pointer (&names);
}

static void
resolve_key (const Edges *edges, RagifyConfigNode *node, size_t slot)
{
  Reference reference = { .node = node, .key = node->host_keys[slot], .entry = node->written[slot].entry };
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();
  bool expanded = false;
  g_autoptr (GArray) names = split_names (edges, &reference, &expanded);
  bool needed = (reference.key->key.flags & RAGIFY_KEY_REQUIRED) != 0;
  unsigned int disabled = 0;

  if (names == NULL) {
    edges->loader->incomplete = true;
    return;
  }
  for (unsigned int i = 0; i < names->len; i++) {
    const RagifyTextItem *item = &g_array_index (names, RagifyTextItem, i);

    reference.name = item->text;
    reference.shown = expanded ? reference.entry->entry->value : item->text;
    reference.offset = item->offset;
    resolve (edges, &reference, targets, &disabled);
  }
  if (needed && node->enabled && disabled > 0 && targets->len == 0)
    report (edges, &reference, "'%s' names only what is disabled; enable it, or disable [%s] as well",
            reference.key->key.name, node->group);
  node->values[slot].refs.count = targets->len;
  g_ptr_array_add (targets, NULL);
  node->values[slot].refs.nodes = (const RagifyConfigNode *const *)g_ptr_array_steal (targets, NULL);
}

/* ---- Order ------------------------------------------------------------------------------------------------------ */

typedef enum Mark { MARK_NEW, MARK_OPEN, MARK_DONE } Mark;

/* A node on the way down, and which of its references is next. */
typedef struct Frame {
  RagifyConfigNode *node;
  size_t slot;
  size_t reference;
} Frame;

typedef struct Ordering {
  RagifyLoader *loader;
  guint8 *marks; /* by index in the files */
  GArray *stack; /* Frame: the chain of references would be too deep for the machine's own */
  GPtrArray *ordered;
  bool circular;
} Ordering;

static RagifyConfigNode *
next_reference (Frame *frame)
{
  for (; frame->slot < frame->node->n_host_values; frame->slot++, frame->reference = 0) {
    const RagifyConfigValue *value = &frame->node->values[frame->slot];

    if (value->type != RAGIFY_KEY_REFERENCE && value->type != RAGIFY_KEY_REFERENCE_LIST)
      continue;
    if (value->origin.kind != RAGIFY_ORIGIN_NONE && frame->reference < value->refs.count)
      return (RagifyConfigNode *)value->refs.nodes[frame->reference++];
  }
  return NULL;
}

static void
report_circle (Ordering *ordering, const RagifyConfigNode *closing)
{
  enum { SHOWN = 8 };
  const Frame *last = &g_array_index (ordering->stack, Frame, ordering->stack->len - 1);
  GString *circle = g_string_new (NULL);
  unsigned int first = ordering->stack->len - 1;

  while (g_array_index (ordering->stack, Frame, first).node != closing)
    first--;
  for (unsigned int i = first; i < ordering->stack->len && i < first + SHOWN; i++)
    g_string_append_printf (circle, "[%s] → ", g_array_index (ordering->stack, Frame, i).node->group);
  if (ordering->stack->len > first + SHOWN)
    g_string_append (circle, "… → ");
  ragify_load_report (ordering->loader, RAGIFY_SEVERITY_ERROR, last->node, last->node->values[last->slot].key,
                      "'%s' closes a circle: %s[%s]", last->node->values[last->slot].key, circle->str, closing->group);
  g_string_free (circle, TRUE);
  ordering->circular = true;
}

static void
push (Ordering *ordering, RagifyConfigNode *node)
{
  Frame frame = { .node = node };

  ordering->marks[node->index] = MARK_OPEN;
  g_array_append_val (ordering->stack, frame);
}

/* Depth first: a node is done when everything that it refers to is. */
static void
visit (Ordering *ordering, RagifyConfigNode *start)
{
  push (ordering, start);
  while (ordering->stack->len > 0) {
    Frame *frame = &g_array_index (ordering->stack, Frame, ordering->stack->len - 1);
    RagifyConfigNode *next = next_reference (frame);

    if (next == NULL) {
      ordering->marks[frame->node->index] = MARK_DONE;
      g_ptr_array_add (ordering->ordered, frame->node);
      g_array_set_size (ordering->stack, ordering->stack->len - 1);
    } else if (ordering->marks[next->index] == MARK_OPEN) {
      report_circle (ordering, next);
    } else if (ordering->marks[next->index] == MARK_NEW) {
      push (ordering, next);
    }
  }
}

static bool
order_nodes (RagifyLoader *loader)
{
  GPtrArray *nodes = loader->config->nodes;
  Ordering ordering = { .loader = loader };

  ordering.marks = g_new0 (guint8, nodes->len);
  ordering.stack = g_array_new (FALSE, FALSE, sizeof (Frame));
  ordering.ordered = g_ptr_array_sized_new (nodes->len);
  for (unsigned int i = 0; i < nodes->len; i++) {
    RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    if (ordering.marks[node->index] == MARK_NEW)
      visit (&ordering, node);
  }
  g_free (ordering.marks);
  g_array_unref (ordering.stack);
  g_ptr_array_unref (nodes);
  loader->config->nodes = ordering.ordered;
  for (unsigned int i = 0; i < ordering.ordered->len; i++)
    ((RagifyConfigNode *)g_ptr_array_index (ordering.ordered, i))->index = i;
  return !ordering.circular;
}

bool
ragify_load_edges (RagifyLoader *loader)
{
  Edges edges = { .loader = loader };
  GPtrArray *nodes = loader->config->nodes;

  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    edges.by_kind[kind] = g_ptr_array_new ();
  for (unsigned int i = 0; i < nodes->len; i++) {
    RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    g_ptr_array_add (edges.by_kind[node->kind], node);
  }
  for (unsigned int i = 0; i < nodes->len; i++) {
    RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    for (size_t slot = 0; slot < node->n_host_values; slot++)
      if (node->host_keys[slot]->references != 0 && node->written[slot].entry != NULL)
        resolve_key (&edges, node, slot);
  }
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    g_ptr_array_unref (edges.by_kind[kind]);
  return order_nodes (loader);
}
