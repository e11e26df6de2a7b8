#include "condition.h"

#include <math.h>
#include <string.h>

#define MOST_DEPTH 64u
#define MOST_VALUES 30000u /* parameters of one statement: PostgreSQL takes 65535 */

typedef struct Writing {
  PgvectorJob *job;
  const char *column;
  GString *sql;
} Writing;

static gboolean
refuse (const Writing *writing, const char *why, guint32 number)
{
  return ragify_fault_set (&writing->job->fault, RAGIFY_E_INVALID, "filter: %s %u", why, number);
}

/* The number that the next value has. */
static guint
bind (const Writing *writing, GBytes *value)
{
  pgvector_job_bind_take (writing->job, value);
  return pgvector_job_bound (writing->job);
}

static gboolean
has_zero (RagifyStr text)
{
  return text.size > 0 && memchr (text.data, 0, text.size) != NULL;
}

/* A larger one stands for what rounds to it, such as 1e23, which it is not. */
static gboolean
is_whole (const RagifyValue *value)
{
  return value->type == RAGIFY_VALUE_INT || (value->type == RAGIFY_VALUE_DOUBLE && fabs (value->number) < 0x1p63 &&
                                             trunc (value->number) == value->number);
}

/* A whole number as text, so that 64 bits of it count. */
static GBytes *
whole_number (const RagifyValue *value)
{
  g_autofree char *text = value->type == RAGIFY_VALUE_INT ? g_strdup_printf ("%" G_GINT64_FORMAT, value->integer)
                                                          : g_strdup_printf ("%.0f", value->number);
  return pgvector_value_text (ragify_str_from (text));
}

static GBytes *
double_bytes (double number)
{
  guint64 bits;
  memcpy (&bits, &number, sizeof bits);
  return pgvector_value_int8 ((gint64)bits);
}

/* A member that is a number compared with one; metadata can have numbers that float8 does not take. */
static void
write_number (const Writing *writing, guint field, const RagifyValue *value, const char *operator)
{
  GString *sql = writing->sql;
  g_string_append_printf (sql, "CASE WHEN jsonb_typeof (%s -> $%u::text) = 'number' THEN ", writing->column, field);
  if (is_whole (value)) {
    const guint place = bind (writing, whole_number (value));
    g_string_append_printf (sql, "(%s ->> $%u::text)::numeric %s $%u::text::numeric", writing->column, field, operator,
                            place);
  } else {
    const guint place = bind (writing, double_bytes (value->number));
    g_string_append_printf (sql,
                            "CASE WHEN abs ((%s ->> $%u::text)::numeric) < 2.5e-324 THEN 0::float8"
                            " ELSE (%s ->> $%u::text)::float8 END %s $%u::float8",
                            writing->column, field, writing->column, field, operator, place);
  }
  g_string_append (sql, " ELSE false END");
}

static void
write_equal (const Writing *writing, guint field, const RagifyValue *value)
{
  GString *sql = writing->sql;
  switch (value->type) {
  case RAGIFY_VALUE_NULL:
    g_string_append_printf (sql, "%s -> $%u::text = 'null'::jsonb", writing->column, field);
    break;
  case RAGIFY_VALUE_BOOL:
    g_string_append_printf (sql, "%s -> $%u::text = '%s'::jsonb", writing->column, field,
                            value->integer != 0 ? "true" : "false");
    break;
  case RAGIFY_VALUE_STRING:
    if (has_zero (value->string)) {
      g_string_append (sql, "false");
      break;
    }
    /* What is equal is contained as well, and that an index finds. */
    {
      const guint place = bind (writing, pgvector_value_text (value->string));
      g_string_append_printf (sql,
                              "%s @> jsonb_build_object ($%u::text, $%u::text) AND %s -> $%u::text = to_jsonb"
                              " ($%u::text)",
                              writing->column, field, place, writing->column, field, place);
    }
    break;
  default:
    write_number (writing, field, value, "=");
  }
}

static void
write_equals_any (const Writing *writing, guint field, const RagifyValueList *values)
{
  g_string_append (writing->sql, "coalesce (");
  for (guint64 i = 0; i < values->count; i++) {
    g_string_append (writing->sql, i == 0 ? "(" : " OR (");
    write_equal (writing, field, &values->items[i]);
    g_string_append_c (writing->sql, ')');
  }
  g_string_append (writing->sql, values->count == 0 ? "false, false)" : ", false)");
}

static void
write_order (const Writing *writing, guint field, const RagifyFilter *filter)
{
  static const char *const operators[] = { ">", ">=", "<", "<=" };
  const char *operator= operators[filter->op - RAGIFY_FILTER_GT];
  const RagifyValue *value = filter->values.count > 0 ? &filter->values.items[0] : NULL;
  GString *sql = writing->sql;
  g_string_append (sql, "coalesce (");
  if (value == NULL || (value->type == RAGIFY_VALUE_STRING && has_zero (value->string)))
    g_string_append (sql, "false");
  else if (value->type == RAGIFY_VALUE_NULL)
    g_string_append_printf (sql, "%s -> $%u::text = 'null'::jsonb AND %s", writing->column,
                            field, operator[1] == '=' ? "true" : "false");
  else if (value->type == RAGIFY_VALUE_INT || value->type == RAGIFY_VALUE_DOUBLE)
    write_number (writing, field, value, operator);
  else if (value->type == RAGIFY_VALUE_BOOL)
    g_string_append_printf (
        sql, "CASE WHEN jsonb_typeof (%s -> $%u::text) = 'boolean' THEN (%s ->> $%u::text)::bool %s %s ELSE false END",
        writing->column, field, writing->column, field, operator, value->integer != 0 ? "true" : "false");
  else
    g_string_append_printf (sql,
                            "CASE WHEN jsonb_typeof (%s -> $%u::text) = 'string' THEN (%s ->> $%u::text)"
                            " COLLATE \"C\" %s $%u::text COLLATE \"C\" ELSE false END",
                            writing->column, field, writing->column, field, operator,
                            bind (writing, pgvector_value_text (value->string)));
  g_string_append (sql, ", false)");
}

/* Whether a member can be equal to one of the values, or be compared with it: no text of PostgreSQL has a zero. */
static gboolean
can_match (const RagifyValueList *values)
{
  for (guint64 i = 0; i < values->count; i++)
    if (values->items[i].type != RAGIFY_VALUE_STRING || !has_zero (values->items[i].string))
      return TRUE;
  return FALSE;
}

static gboolean
write_comparison (const Writing *writing, const RagifyFilter *filter)
{
  const gboolean is_not = filter->op == RAGIFY_FILTER_NE || filter->op == RAGIFY_FILTER_NIN;
  for (guint64 i = 0; i < filter->values.count; i++)
    if (filter->values.items[i].type > RAGIFY_VALUE_STRING)
      return refuse (writing, "unknown type of value", filter->values.items[i].type);
  if (pgvector_job_bound (writing->job) + filter->values.count + 1 > MOST_VALUES)
    return refuse (writing, "too large; the most values that it can have are", MOST_VALUES);
  /* The server refuses a statement that is given a value and does not mention it, such as this field. */
  if (has_zero (filter->field) || (!is_not && !can_match (&filter->values))) {
    g_string_append (writing->sql, "false");
    return TRUE;
  }
  const guint field = bind (writing, pgvector_value_text (filter->field));
  g_string_append_c (writing->sql, '(');
  if (is_not) {
    g_string_append_printf (writing->sql, "%s -> $%u::text IS NOT NULL AND NOT ", writing->column, field);
    write_equals_any (writing, field, &filter->values);
  } else if (filter->op == RAGIFY_FILTER_EQ || filter->op == RAGIFY_FILTER_IN) {
    write_equals_any (writing, field, &filter->values);
  } else {
    write_order (writing, field, filter);
  }
  g_string_append_c (writing->sql, ')');
  return TRUE;
}

static const RagifyFilter *
child_of (const RagifyFilter *filter, guint64 index)
{
  return (const RagifyFilter *)(const void *)((const char *)filter->children.items + index * filter->children.stride);
}

static gboolean
write_filter (const Writing *writing, const RagifyFilter *filter, guint depth)
{
  if (depth > MOST_DEPTH)
    return refuse (writing, "too deep; the most levels that it can have are", MOST_DEPTH);
  if (filter->op < RAGIFY_FILTER_AND || filter->op > RAGIFY_FILTER_NIN)
    return refuse (writing, "unknown operation", filter->op);
  if (filter->op > RAGIFY_FILTER_NOT)
    return write_comparison (writing, filter);
  if (filter->children.count == 0) {
    g_string_append (writing->sql, filter->op == RAGIFY_FILTER_AND ? "true" : "false");
    return TRUE;
  }
  const guint64 count = filter->op == RAGIFY_FILTER_NOT ? 1 : filter->children.count;
  g_string_append (writing->sql, filter->op == RAGIFY_FILTER_NOT ? "(NOT " : "(");
  for (guint64 i = 0; i < count; i++) {
    if (i > 0)
      g_string_append (writing->sql, filter->op == RAGIFY_FILTER_AND ? " AND " : " OR ");
    if (!write_filter (writing, child_of (filter, i), depth + 1))
      return FALSE;
  }
  g_string_append_c (writing->sql, ')');
  return TRUE;
}

gboolean
pgvector_condition_write (PgvectorJob *job, const RagifyFilter *filter, const char *column, GString *sql)
{
  const Writing writing = { .job = job, .column = column, .sql = sql };
  return write_filter (&writing, filter, 1);
}
